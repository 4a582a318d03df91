"""``python tests/fuzz/fuzz.py [SECONDS] [TARGET ...]``: each target (default: all) for so long, with atheris.

What is found, and what led further, is kept in ``.lab/fuzz``. Exits with 1 when a target failed, with 0 and a word
about it where atheris is not installed.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEPT = Path(".lab") / "fuzz"


def child(name: str, seconds: str) -> None:
    """Fuzz one target in this process; it ends with it."""
    import atheris

    sys.path.insert(0, str(HERE))
    with atheris.instrument_imports(include=["ariagent", "targets"]):
        import targets

    corpus, dictionary = KEPT / name, KEPT / f"{name}.words"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(targets.SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    dictionary.write_text("".join(f'"{word}"\n' for word in targets.WORDS[name]))
    options = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=10", "-rss_limit_mb=1024", "-verbosity=0"]
    options += [f"-dict={dictionary}", f"-artifact_prefix={KEPT}/{name}-", "-print_final_stats=1", str(corpus)]
    atheris.Setup([sys.argv[0], *options], targets.TARGETS[name])
    atheris.Fuzz()


def main(seconds: str, names: list[str]) -> int:
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: skipped: atheris is not installed, or not for this Python: pip install 'ariagent[fuzz]'")
        return 0
    failed = []
    for name in names or ["audiosocket", "realtime", "ami", "ari"]:
        argv = [sys.executable, __file__, "--child", name, seconds]
        run = subprocess.run(argv, capture_output=True, text=True, timeout=float(seconds) + 300, check=False)
        output = run.stdout + run.stderr
        done = [line.split()[-1] for line in output.splitlines() if "number_of_executed_units" in line]
        if run.returncode:
            failed.append(name)
            print(output)
        print(f"fuzz: {name}: {'FAILED' if run.returncode else 'ok'}, {done[0] if done else '?'} inputs in {seconds} s")
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3])
    else:
        sys.exit(main(*(sys.argv[1:2] or ["60"]), sys.argv[2:]))
