"""What a run was measured on: it stands in each result."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def output_of(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def first_match(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text())
    except OSError:
        return "unknown"
    return found[1].strip() if found else "unknown"


def describe(note: str) -> dict[str, object]:
    changed = output_of("git", "status", "--porcelain", "--", "src", "include", "bench/compare", "tools/compare")
    return {
        "cpu": first_match("/proc/cpuinfo", r"model name\s*:\s*(.*)"),
        "cores": os.cpu_count(),
        "memory": first_match("/proc/meminfo", r"MemTotal:\s*(.*)"),
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": output_of("c++", "--version").splitlines()[0],
        "python": platform.python_version(),
        "commit": output_of("git", "rev-parse", "--short=12", "HEAD") + (" and changes" if changed else ""),
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "load_at_start": round(os.getloadavg()[0], 2),
        "note": note,
    }
