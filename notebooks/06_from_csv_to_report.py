# %% [markdown]
# # From a CSV file to a report: how long will the geyser erupt?
#
# Old Faithful in Yellowstone erupts every hour or so. A visitor has waited for 65 minutes: how long
# will the eruption be? The package holds a table of 272 eruptions, of R's `datasets::faithful`
# (Azzalini & Bowman 1990, https://doi.org/10.2307/2347385). This notebook goes from that table to
# an answer, and to a report that can be handed on: in Python first, then in the shell.

# %%
import shlex
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

import tfp_mdn
from tfp_mdn import plotting

plt.rcParams["figure.dpi"] = 80

table = pd.read_csv(str(files("tfp_mdn") / "data" / "faithful.csv"))
train, test = train_test_split(table, test_size=0.25, random_state=0)
table.describe().round(2)

# %% [markdown]
# ## Fit
#
# `waiting` (minutes) is the input, `eruptions` (length in minutes) the target. A quarter of the
# rows is kept apart, to judge the model in the end. Nothing has to be scaled or set.

# %%
model = tfp_mdn.MDNRegressor(random_state=0).fit(train[["waiting"]], train["eruptions"])

grid = pd.DataFrame({"waiting": np.linspace(43, 96, 300)})
parameters = model.predict_parameters(grid)

labels = {"xlabel": "waiting (minutes)", "ylabel": "eruption (minutes)"}
rows = (train["waiting"], train["eruptions"])
plotting.plot_density(grid["waiting"], parameters, data=rows, **labels)
plt.show()

# %% [markdown]
# After a short wait the eruption is short, after a long wait it is long. In between, from about 60
# to 70 minutes, it may be either, and less often of a length between. A regression would answer
# with a length in the gap:

# %%
wait = pd.DataFrame({"waiting": [65.0]})
after_65 = model.predict_parameters(wait)

print(f"mean    {model.predict(wait)[0]:.1f} minutes")
for mode in after_65.modes()[0][:2, 0]:
    print(
        f"mode    {mode:.1f} minutes, with a density of {after_65.prob([mode])[0]:.2f} per minute"
    )
print(f"the density at the mean is {after_65.prob(after_65.mean())[0]:.2f} per minute")
print(f"under 3 minutes with probability {after_65.cdf(3.0)[0]:.2f}")

# %% [markdown]
# ## One number, an interval, or a region?
#
# Quantiles answer "longer than what, with probability 0.9?". Two of them make a *central interval*,
# which has equal probability on either side. Between two branches it covers the empty space too.
# The *highest-density region* is the shortest set with a given probability: one interval where
# there is one branch, two where there are two.

# %%
low, high = after_65.interval(0.8)[0]
print(f"central interval, 80 %: {low:.1f} to {high:.1f} minutes")
for low, high in after_65.highest_density_region(0.8)[0]:
    print(f"highest density, 80 %:  {low:.1f} to {high:.1f} minutes")

# %%
_, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
plotting.plot_quantiles(
    grid["waiting"], parameters, levels=[0.1, 0.25, 0.5, 0.75, 0.9], ax=axes[0], **labels
)
axes[0].legend(loc="upper left")
for minutes, region in zip(grid["waiting"], parameters.highest_density_region(0.8), strict=True):
    axes[1].vlines([minutes] * len(region), *region.T, color="#f7c08a", linewidth=2)
axes[1].plot(*rows, "o", color="0.3", markersize=3, markeredgewidth=0)
axes[1].set(title="Highest-density region, 80 %", xlabel=labels["xlabel"], ylim=(1.3, 5.3))
plt.show()

# %% [markdown]
# On the left the band from 10 to 90 % bridges the gap. On the right the region splits where both
# kinds of eruption are to be expected.
#
# The modes alone, as branches over the waiting time; pale is a mode of little density:

# %%
plotting.plot_modes(grid["waiting"], parameters, data=rows, **labels)
plt.show()

# %% [markdown]
# ## Can it be trusted?
#
# The 68 rows that were kept apart say so. For so few the report cannot vouch for much, and says how
# much that is; `07_calibration` explains the numbers.

# %%
held_out = model.predict_parameters(test[["waiting"]])
print(tfp_mdn.calibration_report(held_out, test["eruptions"]))

# %% [markdown]
# ## The same in a shell
#
# The command `tfp-mdn` does all of this with files: `fit` and `params` are run below, `tfp-mdn
# evaluate model test.csv` prints the scores, `predict` adds columns to a table, `plot` draws the
# pictures.

# %%
folder = TemporaryDirectory()
train.to_csv(f"{folder.name}/train.csv", index=False)
test.to_csv(f"{folder.name}/test.csv", index=False)


def shell(line):
    """Run a command in the folder, and show what it prints."""
    program, *arguments = shlex.split(line)
    command = [Path(sys.executable).with_name(program), *arguments]
    done = subprocess.run(command, cwd=folder.name, capture_output=True, text=True, check=True)
    print(f"$ {line}\n{done.stdout}")


shell("tfp-mdn fit train.csv --target eruptions -o model")
shell("tfp-mdn params model --grid waiting=43:96:100 -o parameters.csv")

components = pd.read_csv(f"{folder.name}/parameters.csv")
components[components["weight"] > 0.03].head().round(2)

# %% [markdown]
# A model that was saved in the shell is opened in Python, and the other way round. `write_report`,
# or `tfp-mdn report`, makes one HTML page of it: data, learning curve, calibration, and an explorer
# in which the density follows the inputs as they are set. The page needs no network.

# %%
saved = tfp_mdn.load(f"{folder.name}/model")
tfp_mdn.write_report(saved, test[["waiting"]], test["eruptions"], f"{folder.name}/report.html")
print(*sorted(path.name for path in Path(folder.name).iterdir()), sep="\n")
folder.cleanup()
