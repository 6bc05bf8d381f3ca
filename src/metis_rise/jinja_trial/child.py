"""The process that a template is tried in: reads {"kind", "template", "values"} and ends as `limits` says.

0 where it came to an end, be it with an error of the template.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metis_rise.jinja_trial.limits import LONGEST, MEMORY_MB, OUT_OF_MEMORY, SECONDS, TOO_LONG

Render = Callable[[str, Any], str]


def _chat() -> Render:
    """As transformers renders a chat."""
    from transformers.utils.chat_template_utils import render_jinja_template

    def render(template: str, value: Any) -> str:
        rendered = render_jinja_template(conversations=[value], chat_template=template, add_generation_prompt=True)
        return str(rendered[0][0] if isinstance(rendered, tuple) else rendered[0])

    return render


def _plain() -> Render:
    """As prompts are rendered."""
    from metis_rise.jinja_trial.sandbox import compiled

    return lambda template, value: compiled(template).render(value)


def main() -> None:
    """Renders each value; the kernel ends this process at its limit of time, whatever it is in."""
    task = json.load(sys.stdin)
    render = {"chat": _chat, "plain": _plain}[task["kind"]]()
    _limit()
    for value in task["values"]:
        try:
            text = render(task["template"], value)
        except MemoryError:
            sys.exit(OUT_OF_MEMORY)
        except Exception:  # whatever code of others may raise: whoever uses the template will say it
            continue
        if len(text) > LONGEST + 100 * len(json.dumps(value)):
            sys.exit(TOO_LONG)


def _limit() -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Elsewhere the limit is refused (macOS) or has no effect.
    if sys.platform == "linux":
        there = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        size = there + (MEMORY_MB << 20)
        resource.setrlimit(resource.RLIMIT_AS, (size if most == resource.RLIM_INFINITY else min(size, most), most))


if __name__ == "__main__":
    main()
