#!/usr/bin/env python3
"""Records programs before and after a change, and predicts the latter from the former.

measure.py REPOSITORY [NAME...]: as root, in this folder, with replay in the PATH; REPOSITORY is one of
git. Recordings stay in ./recordings, and are not made again. The threads are real-time ones, for others
to leave them their CPUs: a program of more threads than CPUs that wait for each other in a loop may not
end, and is cut after 20 s.
"""
import json, os, statistics, subprocess, sys

RECORDINGS = 5
FIXED = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"}  # or else it grows with what is freed
REPOSITORY = sys.argv[1]
# By name: environment, command before and after, and the change as rules.
CASES = {
    "python": (FIXED, lambda after: ["python3", "buffers.py", "3000", "2" if after else "1"],
               ["mmap: sample 2", "munmap: sample 2"]),
    "node": (FIXED, lambda after: ["node", "buffers.js", "3000", "2" if after else "1"],
             ["mmap by comm=node: sample 2", "munmap by comm=node: sample 2"]),
    "java": ({}, lambda after: ["java", "Windows", "random", "6", "16" if after else "8"],
             ["mmap by comm=java: batch 2", "munmap by comm=java: batch 2"]),
    "git": ({}, lambda after: ["git", "-C", REPOSITORY, "-c", "core.packedGitWindowSize=32k", "-c", "core.packedGitLimit=" + ("1m" if after else "256k"),
                               "-c", "pack.threads=2", "pack-objects", "--all", "--stdout", "--no-reuse-delta", "-q"],
            ["mmap: sample 2", "munmap: sample 2"]),
}


def run(args, **env):
    return subprocess.run(args, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=os.environ | env).stdout


def record(path, command, env):
    if not os.path.exists(path):
        run(["chrt", "-f", "2", "replay", "capture", "-q", "--max-loss", "0", "--probe", "libc.so.6:malloc", "-o", path, "--", "timeout", "20", "chrt", "-r", "1"] + command, **env)


def replay(path, rules=()):
    args = ["replay", "run", "-q", "-f", "--json", "--resolver", "speculative", "-o", "recordings/run"]
    return json.loads(run(args + [a for r in rules for a in ("--what-if", r)] + [path]))


def figures(of):
    """Fallbacks and their waits, of what was recorded or of a run."""
    return of["fallbacks"], of["lock_wait_ns"]["total"]


def change(after, before, k):
    return f'{100 * (statistics.median(x[k] for x in after) / statistics.median(x[k] for x in before) - 1):+.0f} %'


os.makedirs("recordings", exist_ok=True)
if not os.path.exists("random"):
    with open("random", "wb") as f:
        f.write(os.urandom(16 << 20))
run(["javac", "-nowarn", "Windows.java"])
for name in sys.argv[2:] or CASES:
    env, command, rules = CASES[name]
    paths = [[f"recordings/{name}-{side}-{i}.parquet" for side in ("before", "after")] for i in range(RECORDINGS)]
    for pair in paths:  # in turn: what the machine does otherwise meanwhile is done to both
        for after, path in enumerate(pair):
            record(path, command(after), env)
    docs = [[replay(path) for path in pair] for pair in paths]
    recorded = [[figures(pair[side]["recorded"]) for pair in docs] for side in (0, 1)]
    replayed = [[figures(pair[side]["runs"][0]) for pair in docs] for side in (0, 1)]
    predicted = [figures(replay(pair[0], rules)["runs"][0]) for pair in paths]
    for k, what in enumerate(("fallbacks", "waits")):
        print(name, what, "recorded", change(recorded[1], recorded[0], k), "both replayed", change(replayed[1], replayed[0], k), "predicted", change(predicted, replayed[0], k))
        print("   before", [x[k] for x in recorded[0]], "after", [x[k] for x in recorded[1]])
