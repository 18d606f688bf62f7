"""A shell at the end of a VM's console, which may be another process by the next command."""


class Shell:
    def __init__(self):
        self.number = 0

    def run(self, machine, command):
        """The command's output; it may be broken by what the kernel says."""
        self.number += 1
        begin, end = f"begin-{self.number}-", f"end-{self.number}-"
        since = len(machine.output)
        machine.type(f"echo 'beg''in-{self.number}-'; {command}; echo 'en''d-{self.number}-'\n")
        machine.await_output(end, since)
        text = machine.output[since:].decode(errors="replace")
        return text[text.index(begin) + len(begin):text.index(end)].strip()
