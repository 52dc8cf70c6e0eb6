"""A contender's process: it builds cases and runs them when it is told to.

`python -m bench.worker ours|theirs` reads one JSON object a line on standard input and answers
each with one on standard output. `bench.contenders` is the other end.
"""

import importlib
import json
import os
import sys
import traceback

from .cases import measure


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not spoil the answers
    driver = importlib.import_module("bench." + sys.argv[1])
    case = None
    for line in sys.stdin:
        order = json.loads(line)
        try:
            verb = order.pop("verb")
            if verb == "hello":
                answer = {"versions": driver.versions()}
            elif verb == "make":
                case = None  # let the last one's memory go first
                case = driver.CASES[order.pop("case")](**order)
                answer = {"messages": case.messages}
            elif verb == "check":
                answer = {"digest": case.check()}
            elif verb == "run":
                answer = {"seconds": measure(case, order["seconds"])}
            else:
                answer = case.once()
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
