"""Main functions of processes that run cases badly."""

import os
import time


def dies(connection):
    connection.recv()
    os._exit(11)


def hangs(connection):
    connection.recv()
    time.sleep(60)
