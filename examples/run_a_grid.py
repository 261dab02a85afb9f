"""A grid: rows of options, one table of what came of them.

It needs codi-navigation and pandas. Kill it at any moment and run it again: it goes on, and what
has finished is not run twice. Started in two terminals, both share the work.
"""

from codi_core import experiments

rows = {
    "policies alone": {"method": "base"},
    "printed posterior": {"posterior": "isotropic"},
    "the settings of the task": {},
}

if __name__ == "__main__":  # the processes of the pool import this file
    grid = experiments.Grid(
        "navigation-swap",
        rows,
        shared={"task_options": {"agents": 4}, "episodes": 4, "worlds": 2, "seed": 1},
        output="runs/grid",
    )
    with experiments.worker_pool(2) as pool:
        grid.run(executor=pool, progress=False)
    shown = ["row", "successes", "episodes", "success_low", "success_high"]
    print(grid.table()[shown].round(2).to_string(index=False))
    print("wrote runs/grid/results.csv and runs/grid/results.json")
