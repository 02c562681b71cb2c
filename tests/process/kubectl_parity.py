"""kubectl_parity.py EXPECTED ACTUAL KNOWN [--names] CASE...: compares recordings step by step.

With --names it prints but the cases that differ otherwise than is known.

A step is a line "$ command" and what follows it. KNOWN holds "CASE NUMBER $ command" (the NUMBERth step of that
command in the case) for each difference that is known, with the reason in a comment above it. With "?" in front of CASE
the step may differ or not.
"""
import difflib
import pathlib
import sys


def steps(path):
    """{(command, number): text}; what stands before the first step has the command ''."""
    found, counts, key = {}, {}, ("", 1)
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
        if line.startswith("$ "):
            counts[line] = counts.get(line, 0) + 1
            key = (line, counts[line])
        found.setdefault(key, []).append(line)
    return found


def known_differences(path):
    """(those that differ, those that may)"""
    always, perhaps = set(), set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            case, number, command = line.split(" ", 2)
            known = perhaps if case.startswith("?") else always
            known.add((case.lstrip("?"), command, int(number)))
    return always, perhaps


def main(expected_dir, actual_dir, known_file, names_only, cases):
    known, perhaps = known_differences(pathlib.Path(known_file))
    total, seen, unexpected = 0, set(), []
    for case in cases:
        expected = steps(pathlib.Path(expected_dir) / f"{case}.out")
        actual = steps(pathlib.Path(actual_dir) / f"{case}.out")
        total += len(expected)
        for key in list(expected) + [key for key in actual if key not in expected]:
            if expected.get(key) == actual.get(key):
                continue
            seen.add((case, *key))
            if (case, *key) not in known | perhaps:
                unexpected.append((case, key, expected.get(key, []), actual.get(key, [])))
    if names_only:
        print(*sorted({case for case, *_ in unexpected}))
        return 0
    for case, key, wanted, got in unexpected:
        print(f"--- {case} {key[1]} {key[0]}")
        print("\n".join(list(difflib.unified_diff(wanted, got, lineterm=""))[2:]))
    gone = [each for each in known if each[0] in cases and each not in seen]
    for case, command, number in sorted(gone):
        print(f"no longer different, strike it from {known_file}: {case} {number} {command}")
    print(f"{len(cases)} cases, {total} steps, {len(seen)} differ, {len(seen) - len(unexpected)} of them known")
    return 1 if unexpected or gone else 0


if __name__ == "__main__":
    NAMES = "--names" in sys.argv
    ARGUMENTS = [each for each in sys.argv[1:] if each != "--names"]
    sys.exit(main(*ARGUMENTS[:3], NAMES, ARGUMENTS[3:]))
