"""isacbench: learned control for integrated sensing and communication (ISAC).

Environments that step thousands of times faster than Python, the agents of two papers and the bounds they are to be
compared with, training, evaluation and sweeps.

    import isacbench

    env = isacbench.make_vec("v2x", num_envs=4096, seed=0, beam="tracking")
    obs, info = env.reset()
    obs, reward, terminated, truncated, info = env.step(env.action_space.sample())

    print(isacbench.evaluate("v2x", "ekf-zf", p_max_dbm=40.0))
    print(isacbench.evaluate_policy("v2x", my_policy, beam="tracking"))

Task keys are those of `[task]` in the program's TOML files; docs/python.md and `help()` of each function tell the rest.
"""

from ._core import __version__
from .actions import beams_action, phases_action
from .envs import IsacEnv, make
from .exchange import OnnxPolicy
from .jobs import Report, Run, Sweep, Tuning, reproduce, sweep, train, tune
from .policies import Policy, load_checkpoint
from .registration import register
from .results import Comparison, Evaluation, evaluate, evaluate_policy
from .sb3 import sb3_vec_env
from .tasks import tasks
from .torch_policy import save_torch, torch_module
from .vector import IsacVectorEnv, make_vec

__all__ = [
    "Comparison",
    "Evaluation",
    "IsacEnv",
    "IsacVectorEnv",
    "OnnxPolicy",
    "Policy",
    "Report",
    "Run",
    "Sweep",
    "Tuning",
    "__version__",
    "beams_action",
    "evaluate",
    "evaluate_policy",
    "load_checkpoint",
    "make",
    "make_vec",
    "phases_action",
    "reproduce",
    "save_torch",
    "sb3_vec_env",
    "sweep",
    "tasks",
    "torch_module",
    "train",
    "tune",
]

register()
