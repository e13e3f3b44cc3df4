"""Judgement, policies and jobs."""

import importlib.util
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import numpy as np

import isacbench

QUICK = {"updates": 2, "seeds": [0, 1], "device": "cpu", "progress": False}


def number_of(config, section, key):
    """A whole number of a TOML text: tomllib comes with Python 3.11."""
    text = config.split(f"\n[{section}]\n")[1].split("\n[")[0]
    return int(re.search(rf"^{key} = (\d+)$", text, re.MULTILINE)[1])


def train(folder, task="v2x", agent="ppo", **more):
    own = {"ppo": {"envs": 16, "horizon": 100, "minibatch": 400}} if task == "v2x" else {}
    return isacbench.train(task, agent, out=Path(folder) / agent, **{**QUICK, **own, **more})


class Judged(unittest.TestCase):
    def test_an_agent_of_the_program_is_itself(self):
        """`last-estimate` written by somebody else: its actions in the parameterisation of `tracking`."""
        found = isacbench.evaluate_policy(
            "v2x", lambda obs: np.zeros((len(obs), 6)), episodes=200, beam="tracking", beside=("last-estimate",)
        )
        own, other = found
        for metric in ("sum_rate_bps_hz", "reward", "jain", "angle_mse_rad2"):
            self.assertAlmostEqual(own[metric].mean / other[metric].mean, 1, delta=1e-4, msg=metric)
            self.assertAlmostEqual(own[metric].low / other[metric].low, 1, delta=1e-3, msg=metric)
        self.assertEqual(own.episodes, 200)

    def test_misac(self):
        for task_keys in ({}, {"phases": True}):

            def policy(obs, wide=bool(task_keys)):
                steer = -np.pi * np.arange(64) * obs[:, :4, None]
                on = np.ones((len(obs), 4), np.float32)
                return isacbench.phases_action(on, steer) if wide else on

            own, other = isacbench.evaluate_policy("misac", policy, episodes=100, beside=("vision-only",), **task_keys)
            for metric in ("energy_j", "cost_j", "frames_per_slot", "mae_deg", "beam_gain_share"):
                self.assertAlmostEqual(own[metric].mean / other[metric].mean, 1, delta=1e-3, msg=metric)

    def test_rewards_are_those_of_the_environments(self):
        """The mean reward of a client that steps by itself, from the same seeds, is near what is judged."""
        policy = lambda obs: np.zeros((len(obs), 6), np.float32)  # noqa: E731
        (judged,) = isacbench.evaluate_policy("v2x", policy, episodes=4096, beam="tracking", beside=())
        env = isacbench.make_vec("v2x", 4096, seed=0, beam="tracking", autoreset_mode="same_step")
        obs, _ = env.reset()
        total = 0.0
        for _ in range(100):
            obs, reward, *_ = env.step(policy(obs))
            total += reward.mean() / 100
        mean = judged["reward"]
        self.assertLess(abs(total - mean.mean), 3 * (mean.high - mean.low))

    def test_memory_begins_with_the_episodes(self):
        class Counts:
            def __init__(self):
                self.calls, self.slots = [], 0

            def reset(self, num_envs):
                self.calls.append(num_envs)
                self.slots = 0

            def __call__(self, obs):
                self.slots += 1
                return np.zeros((len(obs), 6))

        policy = Counts()
        isacbench.evaluate_policy("v2x", policy, episodes=5000, beside=(), slots=4)
        self.assertEqual((policy.calls, policy.slots), ([4096, 904], 4))

    def test_page_and_frames(self):
        found = isacbench.evaluate_policy("v2x", lambda o: 0 * o[:, :6], name="mine | <b>", episodes=20, slots=4)
        self.assertEqual(found[-1].agent, "upper-bound")
        self.assertIn("sum_rate_bps_hz", repr(found))
        self.assertIn("&lt;b&gt;", found._repr_html_())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mine.html"
            found.page(path)
            page = path.read_text(encoding="utf-8")
        self.assertIn("<table>", page)
        self.assertNotIn("<b>", page)
        rows = found.rows()
        self.assertEqual({r["agent"] for r in rows}, {e.agent for e in found})

    def test_what_a_policy_raises_comes_through(self):
        class Own(Exception):
            pass

        def raises(obs):
            raise Own("mine")

        self.assertRaises(Own, isacbench.evaluate_policy, "v2x", raises, episodes=10, beside=())
        for bad, words in [
            (lambda o: np.zeros((len(o), 5)), r"policy: shape \(10, 5\) instead of \(10, 6\)"),
            (lambda o: np.full((len(o), 6), np.nan), "actions: NaN in environment 0"),
            (lambda o: "left", r"policy: str is no array of numbers of shape \(10, 6\)"),
            (lambda o: np.zeros((len(o), 6)) + 1j, "policy: ndarray is no array of numbers"),
            (lambda o: [["1"] * 6] * len(o), "policy: list is no array of numbers"),
            (lambda o: np.full((len(o), 6), 1e300), "actions: inf in environment 0"),
            (lambda o: np.zeros(6), r"policy: shape \(6,\) instead of \(10, 6\)"),
            (3, "policy: int is no function"),
        ]:
            with self.assertRaisesRegex((ValueError, TypeError), words):
                isacbench.evaluate_policy("v2x", bad, episodes=10, beside=())

    def test_names(self):
        policy = lambda o: o[:, :6]  # noqa: E731
        for keys, words in [
            ({"beside": "genie"}, "beside: 'genie' is one name, not a list"),
            ({"name": "genie", "beside": ("genie",)}, "name: 'genie'"),
            ({"name": ""}, "name"),
            ({"name": 3}, "name"),
            ({"phases": "no"}, "phases"),
            ({"seed": -1}, "seed"),
        ]:
            with self.assertRaisesRegex(ValueError, words):
                isacbench.evaluate_policy("v2x", policy, episodes=10, **keys)
        with self.assertRaisesRegex(ValueError, "no task None"):
            isacbench.evaluate_policy(None, policy, episodes=10)
        with self.assertRaisesRegex(ValueError, "checkpoint=…"):
            isacbench.evaluate("v2x", "ppo")
        with self.assertRaisesRegex(ValueError, "beside: no agent 'best'"):
            isacbench.evaluate_policy("v2x", lambda o: o[:, :6], episodes=10, beside=("best",))
        with self.assertRaisesRegex(ValueError, "has weights"):
            isacbench.evaluate_policy("v2x", lambda o: o[:, :6], episodes=10, beside=("ppo",))
        with self.assertRaisesRegex(ValueError, "no agent 'best'"):
            isacbench.evaluate("v2x", "best")
        with self.assertRaisesRegex(ValueError, "episodes"):
            isacbench.evaluate("v2x", "ekf", episodes=0)
        with self.assertRaises(KeyError):
            isacbench.evaluate("v2x", "ekf", episodes=10)["rate"]


class Trained(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.ppo = train(cls.folder.name)
        cls.moe = train(cls.folder.name, "misac", "h-moe", slots=20)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_a_policy_decides_as_the_program_does(self):
        for run, keys in [(self.ppo, {}), (self.moe, {"slots": 20})]:
            policy = run.policy(1)
            told = run.evaluate(episodes=64, deterministic=True)
            metric = isacbench.tasks()[policy.task]["metric"]
            seed = number_of(policy.config, "evaluate", "seed")
            # Seeds of an evaluation are those of training behind `evaluate.seed`.
            again = [
                isacbench.evaluate_policy(policy.task, run.policy(r), episodes=64, beside=(), seed=seed + r, **keys)
                for r in (0, 1)
            ]
            means = [found[0][metric].mean for found in again]
            self.assertAlmostEqual(np.mean(means) / told[metric].mean, 1, delta=1e-5)

    def test_memory_is_explicit(self):
        policy = self.moe.policy()
        self.assertEqual(policy.state_dim, 2 * number_of(policy.config, "temporal", "hidden"))
        env = isacbench.make_vec("misac", 3, seed=0, slots=20, phases=True)
        obs, _ = env.reset()
        state = None
        for _ in range(5):
            action, state = policy.act(obs, state, phases=True)
            obs = env.step(action)[0]
        self.assertEqual((action.shape, state.shape), ((3, 4 + 256), (3, policy.state_dim)))
        self.assertTrue((policy.act(obs, state)[0] == policy.act(obs, state)[0]).all())
        one, own = policy.act(obs[1], state[1])
        self.assertTrue((one == policy.act(obs, state)[0][1]).all() and own.shape == (policy.state_dim,))

    def test_a_policy_as_a_function_begins_with_other_environments(self):
        policy = self.moe.policy()
        obs = isacbench.make_vec("misac", 5, seed=0, slots=20).reset()[0]
        first = policy(obs)
        policy(obs)
        self.assertTrue((policy(obs[:3]) == first[:3]).all())
        policy.reset(5)
        self.assertTrue((policy(obs) == first).all())

    def test_samples_differ(self):
        policy = self.ppo.policy()
        obs = np.zeros((4, 12), np.float32)
        draws = [policy.act(obs, deterministic=False)[0] for _ in range(2)]
        self.assertTrue((draws[0] != draws[1]).all() and (draws[0][0] != draws[0][1]).any())
        self.assertTrue((policy.act(obs)[0] == policy.act(obs)[0]).all())

    def test_policies_are_exported(self):
        """What the command writes; what reads the files is tested where it is installed."""
        policy = self.ppo.policy()
        file = Path(self.folder.name) / "policy.file"
        policy.export(file)
        whole = file.read_bytes()
        self.assertTrue(b"beam_angle_rad" in whole and b"power_w" in whole)
        policy.export(file, raw=True)
        self.assertTrue(b"observation" in file.read_bytes() and b"beam_angle_rad" not in file.read_bytes())
        policy.export(file, format="torch")
        self.assertIn(b"isacbench-torch-1", file.read_bytes())
        with self.assertRaisesRegex(ValueError, "spiking"):
            policy.export(file, format="nir")
        with self.assertRaisesRegex(ValueError, "onnx, torch, nir"):
            policy.export(file, format="tflite")
        for module, reader in (("onnxruntime", isacbench.OnnxPolicy), ("torch", isacbench.torch_module)):
            if importlib.util.find_spec(module) is None:
                with self.assertRaisesRegex(ImportError, f"pip install.*{module}"):
                    reader(file)

    def test_a_policy_of_another_task_is_refused(self):
        def policy(obs):
            return np.zeros((len(obs), 6), np.float32)

        policy.metadata = {"task": "misac"}
        with self.assertRaisesRegex(ValueError, "task misac, not v2x"):
            isacbench.evaluate_policy("v2x", policy, episodes=4)
        policy.metadata = {"task": "v2x"}
        self.assertEqual(isacbench.evaluate_policy("v2x", policy, episodes=4, beside=()).rows()[0]["agent"], "policy")

    def test_an_evaluation_knows_its_seeds(self):
        found = isacbench.evaluate("v2x", "ekf", episodes=32)
        self.assertEqual((found.seeds, found.checkpoint), ([1000], None))
        self.assertEqual(found.per_seed["jain"], [found["jain"].mean])
        self.assertEqual(found.configuration["task"]["name"], "v2x")
        with self.assertRaisesRegex(ValueError, "are several"):
            isacbench.evaluate("v2x", "ekf,genie")

    def test_policies_are_pickled(self):
        policy = pickle.loads(pickle.dumps(self.ppo.policy(1)))
        self.assertEqual((policy.agent, policy.replica, policy.seeds), ("ppo", 1, [0, 1]))

    def test_a_folder_tells_what_was_done(self):
        self.assertEqual(self.ppo.manifest["task"], "v2x")
        self.assertIn("train", self.ppo.manifest["command"])
        with self.assertRaisesRegex(ValueError, "resume=True, overwrite it with force=True"):
            train(self.folder.name)
        train(self.folder.name, resume=True)

    def test_the_program_and_python_give_the_same_numbers(self):
        words = ["evaluate", "--agent", "ppo", "--checkpoint", str(self.ppo.checkpoint), "--episodes", "64"]
        command = [sys.executable, "-m", "isacbench", *words, "--device", "cpu", "--json"]
        told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        own = self.ppo.evaluate(episodes=64)
        numbers = {n: float("nan") if v["mean"] is None else v["mean"] for n, v in told["metrics"].items()}
        np.testing.assert_equal({n: v.mean for n, v in own.items()}, numbers)

    def test_mistakes(self):
        for call, words in [
            (lambda: self.ppo.policy(2), "replica: 2, the checkpoint has 2"),
            (lambda: self.ppo.policy(-1), "replica"),
            (lambda: isacbench.load_checkpoint("nothing"), "cannot read checkpoint"),
            (lambda: isacbench.load_checkpoint(__file__), "damaged or no checkpoint"),
            (lambda: self.ppo.policy().act(np.zeros((2, 5))), r"obs: shape \(2, 5\) instead of \(B, 12\)"),
            (lambda: self.ppo.policy().act(np.full(12, np.nan)), "obs: NaN"),
            (lambda: self.moe.policy().act(np.zeros((2, 12)), np.zeros((3, 1))), "state: shape"),
            (lambda: self.ppo.policy().act(np.zeros(12), phases=True), "phases"),
            (lambda: train(self.folder.name, agent="ekf"), "needs no training"),
            (lambda: train(self.folder.name, ppo={"clip": -1}, force=True), "ppo.clip"),
            (lambda: train(self.folder.name, resume=True, force=True), "resume, force"),
            (lambda: isacbench.sweep("nothing.toml", out=self.folder.name + "/s"), "nothing.toml"),
        ]:
            with self.assertRaisesRegex((ValueError, OSError), words):
                call()


class Interrupted(unittest.TestCase):
    def setUp(self):
        # A shell starts its background jobs with the signal ignored, and Python leaves it so.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)

    def test_a_training_ends_in_order_and_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            timer = threading.Timer(3.0, lambda: os.kill(os.getpid(), signal.SIGINT))
            timer.start()
            began = time.monotonic()
            with self.assertRaises(KeyboardInterrupt):
                train(folder, updates=200_000)
            timer.cancel()
            self.assertLess(time.monotonic() - began, 60)
            self.assertTrue((Path(folder) / "ppo" / "checkpoint.safetensors").exists())

    def test_an_evaluation_ends(self):
        timer = threading.Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        began = time.monotonic()
        with self.assertRaises(KeyboardInterrupt):
            isacbench.evaluate("v2x", "ekf", episodes=10**7)
        timer.cancel()
        self.assertLess(time.monotonic() - began, 10)


if __name__ == "__main__":
    unittest.main()
