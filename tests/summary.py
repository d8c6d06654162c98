"""Closing table of a test run: suites with their counts, then every skip with its reason.

usage: summary.py LOG SKIPS [--allowed FILE]     a skip that FILE does not list is a failure
"""
import re
import sys

log, skips = open(sys.argv[1], errors="replace").read(), open(sys.argv[2]).read().splitlines()
allowed = None
if "--allowed" in sys.argv:
    allowed = [l.strip() for l in open(sys.argv[sys.argv.index("--allowed") + 1]) if l.strip() and not l.startswith("#")]

rows, name = [], "?"
for line in log.splitlines():
    if m := re.match(r"\s+Running (?:unittests )?(\S+) \(\S*?([\w-]+)-[0-9a-f]{16}\)", line):
        name = f"{m[2]} {m[1]}"
    elif m := re.match(r"\s+Doc-tests (\S+)", line):
        name = f"{m[1]} doc-tests"
    elif m := re.match(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;.*finished in ([\d.]+)s", line):
        rows.append((name, int(m[1]), int(m[2]), int(m[3]), float(m[4])))

shown = [r for r in rows if any(r[1:4])]
width = max([len(r[0]) for r in shown] + [5])
print(f"\n{'suite':<{width}}  passed  failed  ignored  seconds")
for r in shown:
    print(f"{r[0]:<{width}}  {r[1]:>6}  {r[2]:>6}  {r[3]:>7}  {r[4]:>7.1f}")
bad = [s for s in skips if allowed is not None and s.split(":")[0] not in allowed]
print("\nskipped:" if skips else "\nskipped: nothing")
for s in sorted(skips):
    print(f"  {s}" + ("   <- not allowed here" if s in bad else ""))
passed, failed, ignored = (sum(r[i] for r in rows) for i in (1, 2, 3))
print(f"\n{passed - len(skips)} passed, {failed} failed, {len(skips) + ignored} skipped")
sys.exit(1 if failed or bad or not rows else 0)
