"""Environments: the same numbers for every client, and an exception for every mistake."""

import copy
import multiprocessing
import pickle
import threading
import unittest
import warnings

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

import isacbench

MODES = ("next_step", "same_step", "disabled")
SMALL = {"slots": 6}
OLD = gymnasium.__version__.startswith("0.")


def actions(env, t, n=None):
    """Actions of slot t, another one for each environment."""
    shape = (n or env.num_envs, env.single_action_space.shape[0])
    numbers = np.sin(np.arange(np.prod(shape)).reshape(shape) * 0.37 + t * 0.61)
    return numbers.astype(np.float32)


class Single(unittest.TestCase):
    def test_gymnasium_accepts_it(self):
        for name in ("isacbench/V2x-v0", "isacbench/Misac-v0"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                env = gymnasium.make(name, **SMALL)
                check_env(env.unwrapped, skip_render_check=True)

    def test_a_seed_is_an_episode(self):
        env = isacbench.make("v2x", beam="tracking", **SMALL)
        first, _ = env.reset(seed=3)
        second, _ = env.reset()
        again, _ = env.reset(seed=3)
        self.assertTrue((first == again).all() and (first != second).any())
        self.assertEqual(env.np_random_seed, 3)

    def test_nobody_s_seed_is_told(self):
        one, two = isacbench.make("v2x"), isacbench.make("v2x")
        a, _ = one.reset()
        b, _ = two.reset()
        self.assertNotEqual(one.np_random_seed, two.np_random_seed)
        self.assertTrue((a != b).any())
        self.assertTrue((one.reset(seed=one.np_random_seed)[0] == a).all())

    def test_an_episode_ends_by_truncation(self):
        env = isacbench.make("misac", **SMALL)
        env.reset(seed=0)
        ends = [env.step(np.ones(4, np.float32))[2:4] for _ in range(6)]
        self.assertEqual(ends, [(False, False)] * 5 + [(False, True)])
        with self.assertRaisesRegex(RuntimeError, "its episode is over; reset it"):
            env.step(np.ones(4, np.float32))

    def test_metrics_have_names_and_meanings(self):
        env = isacbench.make("v2x", **SMALL)
        env.reset(seed=0)
        reward, info = [env.step(np.zeros(6, np.float32))[i] for i in (1, 4)]
        spec = env.unwrapped.spec_dict()
        self.assertEqual([m["name"] for m in spec["metrics"] if m["name"] != "reward"], list(info))
        self.assertTrue(info["sum_rate_bps_hz"] > 0)
        self.assertIn("p_max_dbm = 40.0", spec["config"])
        self.assertEqual(spec["action"][0]["name"], "angle_logit_0")
        self.assertEqual(len(spec["observation"]), 12)
        self.assertIsInstance(reward, float)

    def test_bounds_are_finite_where_agents_need_them(self):
        for task, keys in [("v2x", {}), ("v2x", {"beam": "direct"}), ("misac", {"phases": True})]:
            self.assertTrue(np.isfinite(isacbench.make(task, **keys).action_space.high).all())
        box = isacbench.make("v2x", action_bound=2.5).action_space
        self.assertEqual((box.low[0], box.high[0]), (-2.5, 2.5))


class Vector(unittest.TestCase):
    def test_an_environment_is_the_same_among_any_number(self):
        many, four = isacbench.make_vec("v2x", 600, seed=5, **SMALL), isacbench.make_vec("v2x", 4, seed=5, **SMALL)
        one = isacbench.make("v2x", **SMALL)
        a, b, c = many.reset()[0], four.reset()[0], one.reset(seed=5)[0]
        self.assertTrue((a[:4] == b).all() and (a[0] == c).all())
        for t in range(6):
            act = actions(many, t)
            a, b, c = many.step(act), four.step(act[:4]), one.step(act[0])
            self.assertTrue((a[0][:4] == b[0]).all() and (a[1][:4] == b[1]).all())
            self.assertTrue((a[0][0] == c[0]).all() and a[1][0] == c[1])
            self.assertEqual(float(a[4]["sum_rate_bps_hz"][0]), c[4]["sum_rate_bps_hz"])

    def test_modes(self):
        envs = {m: isacbench.make_vec("misac", 3, seed=1, autoreset_mode=m, **SMALL) for m in MODES}
        for env in envs.values():
            env.reset()
        for t in range(6):
            seen = {m: env.step(actions(env, t)) for m, env in envs.items()}
        same, nxt, disabled = (seen[m] for m in MODES[1:2] + MODES[:1] + MODES[2:])
        self.assertTrue(same[3].all() and nxt[3].all() and disabled[3].all())
        self.assertTrue((same[4]["final_obs"] == nxt[0]).all() and (nxt[0] == disabled[0]).all())
        self.assertTrue(same[4]["_final_obs"].all())
        self.assertTrue((same[4]["final_info"]["energy_j"] == nxt[4]["energy_j"]).all())
        fresh = envs["next_step"].step(actions(envs["next_step"], 9))
        self.assertTrue((fresh[0] == same[0]).all() and (fresh[1] == 0).all())
        mask = np.array([True, False, True])
        obs, _ = envs["disabled"].reset(options={"reset_mask": mask})
        self.assertTrue((obs[mask] == same[0][mask]).all() and (obs[1] == disabled[0][1]).all())
        with self.assertRaisesRegex(RuntimeError, "environment 1: its episode is over"):
            envs["disabled"].step(actions(envs["disabled"], 0))

    def test_mode_is_told_in_both_places(self):
        for mode in MODES:
            env = isacbench.make_vec("v2x", 2, autoreset_mode=mode)
            self.assertEqual(env.metadata["autoreset_mode"], env.autoreset_mode)
            if hasattr(gymnasium.vector, "AutoresetMode"):
                self.assertIsInstance(env.autoreset_mode, gymnasium.vector.AutoresetMode)
                again = isacbench.make_vec("v2x", 2, autoreset_mode=env.autoreset_mode)
                self.assertEqual(again.autoreset_mode, env.autoreset_mode)

    def test_seeds_of_a_list_are_environments_of_their_own(self):
        env = isacbench.make_vec("v2x", 3, **SMALL)
        obs, _ = env.reset(seed=[7, 8, 7])
        self.assertTrue((obs[0] == obs[2]).all() and (obs[0] == isacbench.make("v2x", **SMALL).reset(seed=7)[0]).all())
        self.assertIsNone(env.np_random_seed)
        kept, _ = env.reset(seed=[None, 8, None])
        self.assertTrue((kept[1] == obs[1]).all() and (kept[0] != obs[0]).any())

    def test_arrays_are_the_client_s_unless_shared(self):
        for shared in (False, True):
            env = isacbench.make_vec("v2x", 4, seed=0, copy=not shared, **SMALL)
            env.reset()
            first = env.step(actions(env, 0))[0]
            kept = first.copy()
            second = env.step(actions(env, 1))[0]
            self.assertEqual(first is second, shared)
            self.assertEqual((first == kept).all(), not shared)

    @unittest.skipIf(OLD, "Gymnasium before 1.0 does not tell a vector entry point its task")
    def test_through_gymnasium(self):
        env = gymnasium.make_vec(
            "isacbench/V2x-v0", num_envs=4, vectorization_mode="vector_entry_point", beam="zf", **SMALL
        )
        obs, _ = env.reset(seed=2)
        own = isacbench.make_vec("v2x", 4, beam="zf", **SMALL)
        self.assertTrue((obs == own.reset(seed=2)[0]).all())

    @unittest.skipIf(OLD, "Gymnasium before 1.0 has none for these")
    def test_wrappers(self):
        from gymnasium.wrappers import vector as w

        takes = {
            w.RecordEpisodeStatistics: MODES,
            w.ClipAction: MODES,
            w.NormalizeReward: MODES,
            w.NormalizeObservation: ("next_step",),
        }
        for wrapper, modes in takes.items():
            for mode in modes:
                env = wrapper(isacbench.make_vec("v2x", 5, seed=0, autoreset_mode=mode, **SMALL))
                env.reset()
                for t in range(6):
                    info = env.step(actions(env, t))[4]
                if wrapper is w.RecordEpisodeStatistics:
                    told = info["final_info"] if "episode" not in info else info
                    self.assertEqual(list(told["episode"]["l"]), [6] * 5, mode)
        for mode in ("next_step", "disabled"):
            env = isacbench.make_vec("v2x", 5, seed=0, autoreset_mode=mode, **SMALL)
            env = w.TransformObservation(env, lambda obs: obs * 2)
            self.assertTrue((env.reset()[0] == 2 * isacbench.make_vec("v2x", 5, seed=0, **SMALL).reset()[0]).all())

    def test_async_vector_environments_by_fork_and_spawn(self):
        for context in ("fork", "spawn"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                env = gymnasium.vector.AsyncVectorEnv([_make] * 2, context=context)
                obs, _ = env.reset(seed=4)
                env.step(np.zeros((2, 6), np.float32))
                env.close()
            self.assertTrue((obs[0] == _make().reset(seed=4)[0]).all(), context)

    def test_a_forked_child_has_threads_of_its_own(self):
        env = isacbench.make_vec("v2x", 2048, seed=0, **SMALL)
        env.reset()
        env.step(actions(env, 0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            with multiprocessing.get_context("fork").Pool(1) as pool:
                child = pool.apply_async(_step, (env,)).get(timeout=120)
        self.assertTrue((child == env.step(actions(env, 1))[0]).all())

    def test_copies_go_on_identically(self):
        for mode in MODES:
            env = isacbench.make_vec("v2x", 300, seed=0, autoreset_mode=mode, **SMALL)
            env.reset()
            for t in range(4):
                env.step(actions(env, t))
            for other in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
                here = pickle.loads(pickle.dumps(env))
                for t in (4, 5):
                    a, b = here.step(actions(env, t)), other.step(actions(env, t))
                    self.assertTrue((a[0] == b[0]).all() and (a[1] == b[1]).all() and (a[3] == b[3]).all())
        one = isacbench.make("misac", **SMALL)
        one.reset(seed=1)
        one.step(np.ones(4))
        other = pickle.loads(pickle.dumps(one))
        self.assertTrue((one.step(np.ones(4))[0] == other.step(np.ones(4))[0]).all())


def _make():
    return isacbench.make("v2x", **SMALL)


def _step(env):
    return env.step(actions(env, 1))[0]


class Attributes(unittest.TestCase):
    def test_what_is_told_is_a_copy(self):
        for env in (isacbench.make("v2x"), isacbench.make_vec("v2x", 2)):
            env.spec_dict()["observation"].clear()
            self.assertEqual(len(env.spec_dict()["observation"]), 12)

    def test_attributes_are_those_of_all(self):
        env = isacbench.make_vec("v2x", 3)
        env.set_attr("mine", 4)
        self.assertEqual(env.get_attr("mine"), (4, 4, 4))
        env.set_attr("mine", [5, 5, 5])
        self.assertEqual(env.call("mine"), (5, 5, 5))
        self.assertRaises(ValueError, env.set_attr, "mine", [1, 2, 3])


class Actions(unittest.TestCase):
    def test_beams_as_they_are(self):
        """Zero-forcing at the true angles, computed here, reaches what the slot says of it."""
        rng = np.random.default_rng(0)
        f = rng.normal(size=(2, 32, 3)) + 1j * rng.normal(size=(2, 32, 3))
        p = rng.uniform(0.1, 1.0, size=(2, 3))
        env = isacbench.make_vec("v2x", 2, seed=0, beam="direct", **SMALL)
        env.reset()
        unit = f / np.linalg.norm(f, axis=1, keepdims=True)
        rate = env.step(isacbench.beams_action(unit, p))[4]["sum_rate_bps_hz"]
        env.reset(seed=0)
        # A norm is power; a common phase is nothing.
        scale = np.array([0.5, 2.0, 3.0])
        other = env.step(isacbench.beams_action(unit * scale * 1j, p / scale**2))[4]["sum_rate_bps_hz"]
        np.testing.assert_allclose(rate, other, rtol=1e-4)
        env.reset(seed=0)
        less = env.step(isacbench.beams_action(unit, p / 100))[4]["sum_rate_bps_hz"]
        self.assertTrue((less < rate).all())

    def test_power_has_an_end(self):
        env = isacbench.make_vec("v2x", 2, seed=0, beam="direct")
        env.reset()
        f = np.ones((2, 32, 3)) / np.sqrt(32)
        env.step(isacbench.beams_action(f, np.full((2, 3), 10 / 3)))
        with self.assertRaisesRegex(ValueError, "actions: environment 1: the powers are .* W, P_max is 10 W"):
            env.step(isacbench.beams_action(f, [[1, 1, 1], [4, 4, 4]]))
        with self.assertRaisesRegex(ValueError, "actions: environment 0: power_1 is -1 W"):
            env.step(isacbench.beams_action(f, [[1, -1, 1], [1, 1, 1]]))

    def test_phases_are_judged(self):
        env = isacbench.make_vec("misac", 2, seed=0, phases=True, **SMALL)
        obs, _ = env.reset()
        steer = -np.pi * np.arange(64) * obs[:, :4, None]
        info = env.step(isacbench.phases_action(np.ones((2, 4)), steer))[4]
        np.testing.assert_allclose(info["beam_gain_share"], info["estimate_gain_share"], rtol=1e-3)
        lost = env.step(isacbench.phases_action(np.ones((2, 4)), 0 * steer))[4]
        self.assertTrue((lost["beam_gain_share"] < 0.8).all())

    def test_shapes(self):
        for call in (
            lambda: isacbench.beams_action(np.ones(3), np.ones(3)),
            lambda: isacbench.beams_action(np.ones((32, 3)), np.ones(2)),
            lambda: isacbench.beams_action(np.zeros((32, 3)), np.ones(3)),
            lambda: isacbench.phases_action(np.ones(4), np.ones((3, 64))),
            lambda: isacbench.phases_action(np.ones(4), np.full((4, 64), np.nan)),
            lambda: isacbench.beams_action(np.ones((32, 3)), [1, np.nan, 1]),
            lambda: isacbench.beams_action(np.ones((32, 3)) * 1e200, np.ones(3)),
        ):
            self.assertRaises(ValueError, call)


class Mistakes(unittest.TestCase):
    def test_keys(self):
        for keys, words in [
            ({"p_max_dbm": "loud"}, "task.p_max_dbm"),
            ({"p_max_dbm": 1e9}, "task.p_max_dbm"),
            ({"p_max": 3}, "p_max"),
            ({"beam": "laser"}, "beam"),
            ({"preset": "best"}, "no preset 'best'"),
            ({"vehicles": None}, "task.vehicles"),
            ({"slots": float("nan")}, "task.slots"),
            ({"beam": object()}, "task.beam"),
            ({"phases": True}, "phases"),
            ({"action_bound": 0}, "action_bound"),
            ({"action_bound": True}, "action_bound"),
            ({"action_bound": 1e300}, "action_bound"),
            ({"phases": "no"}, "phases"),
        ]:
            with self.assertRaisesRegex(ValueError, words):
                isacbench.make("v2x", **keys)
            with self.assertRaisesRegex(ValueError, words):
                isacbench.make_vec("v2x", 2, **keys)
        with self.assertRaisesRegex(ValueError, "no task 'radar'"):
            isacbench.make("radar")

    def test_numbers_of_environments(self):
        for n in (0, -1, 1.5, True, "4", None):
            with self.assertRaisesRegex(ValueError, "num_envs"):
                isacbench.make_vec("v2x", n)
        with self.assertRaisesRegex(ValueError, "do not fit into memory"):
            isacbench.make_vec("v2x", 2**50)
        with self.assertRaisesRegex(ValueError, "do not fit into memory"):
            isacbench.make_vec("v2x", 2**70)

    def test_seeds(self):
        env = isacbench.make_vec("v2x", 2)
        for seed in (-1, 2**32, 1.5, "a", [1], [1, None, 3]):
            with self.assertRaisesRegex(ValueError, "seed"):
                env.reset(seed=seed)
        with self.assertRaisesRegex(ValueError, "seed"):
            isacbench.make_vec("v2x", 2, seed=-3)
        for seed in (np.int64(3), np.array(3), np.uint32(3)):
            self.assertTrue((env.reset(seed=seed)[0] == env.reset(seed=3)[0]).all())
        self.assertTrue((env.reset(seed=range(2))[0] == env.reset(seed=[0, 1])[0]).all())
        with self.assertRaisesRegex(ValueError, "options: list instead of a dict"):
            env.reset(options=[("a", 1)])
        env = isacbench.make_vec("v2x", 2)
        with self.assertRaisesRegex(ValueError, "None among seeds"):
            env.reset(seed=[1, None])

    def test_actions(self):
        env, one = isacbench.make_vec("v2x", 2, seed=0), isacbench.make("v2x")
        with self.assertRaisesRegex(RuntimeError, "before the first step"):
            env.step(np.zeros((2, 6)))
        env.reset()
        one.reset()
        for bad, words in [
            (np.zeros((2, 5)), r"actions: shape \(2, 5\) instead of \(2, 6\)"),
            (np.zeros(12), r"actions: shape \(12,\)"),
            (np.zeros((3, 6)), "actions: shape"),
            (np.full((2, 6), np.nan), "actions: NaN in environment 0, number 0"),
            (np.array([[0] * 6, [0, 0, 0, np.inf, 0, 0]]), "actions: inf in environment 1, number 3"),
            (np.zeros((2, 6), complex), "actions: ndarray is no array of numbers"),
            ([["a"] * 6] * 2, "actions"),
            ([[1, 2], [3]], "actions"),
            (None, "actions"),
            (np.full((2, 6), 1e300), "actions: inf in environment 0, number 0"),
        ]:
            with self.assertRaisesRegex(ValueError, words):
                env.step(bad)
        with self.assertRaisesRegex(ValueError, r"actions: shape \(1, 6\) instead of \(6,\)"):
            one.step(np.zeros((1, 6)))
        # Other types and orders of numbers are taken.
        for good in (np.zeros((2, 6), np.float64), np.zeros((2, 6), int), np.zeros((6, 2), np.float32).T):
            env.step(good)
        env.step([[0.0] * 6] * 2)

    def test_masks(self):
        env = isacbench.make_vec("v2x", 3, seed=0, autoreset_mode="disabled")
        with self.assertRaisesRegex(ValueError, "the first reset is one of all environments"):
            env.reset(options={"reset_mask": np.array([True, False, True])})
        for mask in ([True], [1, 0, 1], np.zeros(3, bool), "all"):
            with self.assertRaisesRegex(ValueError, "reset_mask"):
                env.reset(options={"reset_mask": mask})

        env = isacbench.make_vec("v2x", 3, seed=0)
        with self.assertRaisesRegex(ValueError, "reset_mask: with autoreset_mode='next_step'"):
            env.reset(options={"reset_mask": np.ones(3, bool)})

    def test_closed(self):
        for env in (isacbench.make("v2x"), isacbench.make_vec("v2x", 2)):
            env.reset()
            env.close()
            env.close()
            for call in (env.reset, lambda env=env: env.step(np.zeros(6))):
                self.assertRaises(gymnasium.error.ClosedEnvironmentError, call)

    def test_modes(self):
        with self.assertRaisesRegex(ValueError, "autoreset_mode: 'never'"):
            isacbench.make_vec("v2x", 2, autoreset_mode="never")
        with self.assertRaisesRegex(ValueError, "render_mode"):
            isacbench.IsacEnv("v2x", render_mode="human")

    def test_many_threads(self):
        """Each its own environments, and all the same ones: exceptions, and never worse."""
        shared = isacbench.make_vec("v2x", 600, seed=0, **SMALL)
        shared.reset()
        wrong = []

        def work():
            own = isacbench.make_vec("v2x", 300, seed=0, **SMALL)
            own.reset()
            for t in range(5):
                own.step(actions(own, t))
                try:
                    shared.step(actions(shared, t))
                except RuntimeError as e:
                    if "in use by another thread" not in str(e):
                        wrong.append(e)
                except BaseException as e:
                    wrong.append(e)

        threads = [threading.Thread(target=work) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_other_threads_run_during_a_step(self):
        env = isacbench.make_vec("v2x", 65536, seed=0)
        env.reset()
        act = actions(env, 0)
        counted, done = [0], threading.Event()

        def count():
            while not done.is_set():
                counted[0] += 1

        thread = threading.Thread(target=count)
        thread.start()
        for _ in range(10):
            env.step(act)
        done.set()
        thread.join()
        # A step that kept the interpreter's lock would let the thread count a few times between two steps.
        self.assertGreater(counted[0], 1000)


if __name__ == "__main__":
    unittest.main()
