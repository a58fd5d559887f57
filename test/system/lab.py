# SPDX-License-Identifier: BSD-2-Clause
"""A machine on a bench, driven over its serial line: wait for what it prints, type, and when a wait fails
tell everything that helps to find out why.

    with lab.Machine("qemu-svm", image, workdir) as machine:
        machine.expect(r"^ballast> ", 60)
        lines = machine.command("vm list")

Waits are for lines, never for a number of seconds; each has a bound, and so has the machine's whole life.
The emulator is ended by its process id, also when this process dies.
"""

import ctypes
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time

import benches

PROMPT = "ballast> "
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?=]*[ -/]*[@-~]|[()][A-Za-z0-9]|[=>78cDEHMNOZ])")
# An escape sequence of which the rest has not arrived yet.
PARTIAL_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?=]*[ -/]*|[()])?$")
CONTROLS = re.compile(r"[\x00-\x07\x0b-\x1f]")  # all but backspace, tab and newline
BOCHS_CHATTER = re.compile(r"\] (?:RDMSR: Read|WRMSR: |read from port|write to port|ips = )")
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """What was waited for did not come. Its text is a report."""


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _slowdown():
    """Factor on every bound, for a machine that is slower than the one the bounds were written on."""
    return float(os.environ.get("BALLAST_SLOWDOWN", "1"))


class _ResetWatch:
    """Reads along in Bochs' log, whose first reset is the power-on."""

    WORDS = b"bx_pc_system_c::Reset(HARDWARE) called"

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.count = 0
        self.rest = b""
        if os.path.exists(path):
            os.unlink(path)

    def seen(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read(1 << 22)
        except OSError:
            return False
        self.offset += len(data)
        data = self.rest + data
        self.count += data.count(self.WORDS)
        self.rest = data[-len(self.WORDS) + 1 :]
        return self.count > 1


class Machine:
    def __init__(self, bench, image, workdir, life_s=600, **options):
        """Start a machine. life_s bounds its whole life; options are those of benches.Options."""
        self.bench = bench
        self.workdir = os.path.abspath(workdir)
        os.makedirs(self.workdir, exist_ok=True)
        self.started = time.monotonic()
        self.end_of_life = self.started + life_s * _slowdown()
        self.text = ""  # the console without escape sequences and carriage returns
        self.position = 0  # where the next wait looks from
        self._pending = ""  # an incomplete escape sequence
        self.closed = False
        self.stream = None
        self.raw = open(os.path.join(self.workdir, "console.raw"), "wb")  # pylint: disable=consider-using-with
        self.process = None
        self.image = os.path.abspath(image) if image else None
        self.options = benches.Options(**options)
        self._start()

    def _start(self):
        server, self.argv = benches.prepare(self.bench, self.image, self.workdir, self.options)
        self._resets = _ResetWatch(os.path.join(self.workdir, "bochs.log")) if self.is_bochs() else None
        try:
            self._start_emulator(server)
        finally:
            server.close()

    def is_bochs(self):
        return self.bench.startswith("bochs")

    def _start_emulator(self, server):
        with open(os.path.join(self.workdir, "emulator.txt"), "wb") as output:
            # A child of its own session: a Ctrl-C on the terminal is ours to handle.
            self.process = subprocess.Popen(self.argv, cwd=self.workdir, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, start_new_session=True,
                                            preexec_fn=_die_with_parent)
        server.settimeout(0.2)
        while self.stream is None:
            try:
                self.stream = server.accept()[0]
            except TimeoutError:
                if self.process.poll() is not None or time.monotonic() > self.started + 60:
                    said = self._file_tail("emulator.txt", 15)
                    self.stop()
                    raise Failure(f"{self.bench} does not start:\n  {shlex.join(self.argv)}\n{said}") from None
        self.stream.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.stop()

    # The serial line.

    def pump(self, seconds):
        """Take in what the machine printed, waiting at most so long for it. False: the line is closed."""
        if self.closed:
            return False
        ready, _, _ = select.select([self.stream], [], [], max(0, seconds))
        if not ready:
            return self.follow_reset()
        try:
            data = self.stream.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return False
        self.raw.write(data)
        self.raw.flush()
        self._take(data.decode("utf-8", "replace"))
        return True

    def _take(self, text):
        text = self._pending + text
        partial = PARTIAL_ESCAPE.search(text)
        self._pending = text[partial.start() :] if partial else ""
        if partial:
            text = text[: partial.start()]
        self.text += CONTROLS.sub("", ESCAPES.sub("", text))

    def follow_reset(self):
        """Bochs only: when the machine was reset, end it or start it anew. False: it has ended.

        The firmware does not come up a second time in one Bochs, because Bochs' reset leaves the ACPI block of its
        chipset enabled at address 0, from which the firmware concludes that it has been set up.
        """
        if self._resets is None or not self._resets.seen():
            return True
        self._end_emulator()
        if not self.options.reboot:
            self.closed = True
            return False
        self._start()
        return True

    def send(self, text):
        """Type text. On an emulated UART with its 16-byte FIFO and no flow control, long text is sent piecemeal."""
        data = text.encode() if isinstance(text, str) else text
        for at in range(0, len(data), 8):
            self.stream.setblocking(True)
            try:
                self.stream.sendall(data[at : at + 8])
            except OSError:
                raise self.failure(f"cannot type {text!r}: the machine has ended") from None
            finally:
                self.stream.setblocking(False)
            if len(data) > 8:
                self.pump(0.02)

    def send_line(self, text):
        self.send(text + "\r")

    def expect(self, pattern, timeout_s=60, but_not=None):
        """Wait for the regular expression (multi-line mode) in what has come since the last match; its match object.

        but_not: a pattern which, if it comes first, is a failure at once.
        """
        wanted = re.compile(pattern, re.MULTILINE)
        unwanted = re.compile(but_not, re.MULTILINE) if but_not else None
        until = min(time.monotonic() + timeout_s * _slowdown(), self.end_of_life)
        while True:
            match = wanted.search(self.text, self.position)
            bad = unwanted.search(self.text, self.position) if unwanted else None
            if bad and (not match or bad.start() < match.start()):
                raise self.failure(f"waited for {pattern!r}, but there came {bad.group(0)!r}")
            if match:
                self.position = match.end()
                return match
            left = until - time.monotonic()
            if left <= 0:
                raise self.failure(f"waited {timeout_s:g} s for {pattern!r}")
            if not self.pump(min(left, 1)):
                if wanted.search(self.text, self.position):
                    continue
                raise self.failure(f"the machine ended while waiting for {pattern!r}")

    def command(self, line, timeout_s=30):
        """Type a command at Ballast's prompt; the lines of its answer, up to the next prompt."""
        self.send_line(line)
        self.expect(re.escape(line) + r"\n", timeout_s)
        start = self.position
        match = self.expect("^" + re.escape(PROMPT), timeout_s)
        return self.text[start : match.start()].splitlines()

    def expect_end(self, timeout_s=60):
        """Wait for the emulator to end by itself, as it does when the machine powers off."""
        until = min(time.monotonic() + timeout_s * _slowdown(), self.end_of_life)
        while self.pump(min(1, max(0, until - time.monotonic()))):
            if time.monotonic() > until:
                raise self.failure(f"waited {timeout_s:g} s for the machine to power off")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            raise self.failure("the machine closed its serial line, but its emulator does not end") from None

    # The end.

    def stop(self):
        """End the emulator, if it has not ended by itself."""
        self._end_emulator()
        self.closed = True
        self.raw.close()

    def _end_emulator(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.stream is not None:
            self.stream.close()
            self.stream = None

    def seconds(self):
        return time.monotonic() - self.started

    # The report.

    def failure(self, what):
        """An exception that tells all there is to know here."""
        if self.closed:
            try:
                self.process.wait(2)  # it is about to end: let its last words and its exit status come
            except subprocess.TimeoutExpired:
                pass
        return Failure("\n".join([
            f"{self.bench}: {what} (after {self.seconds():.1f} s)",
            f"  to repeat:  {shlex.join([sys.executable] + sys.argv)}",
            f"  emulator:   cd {self.workdir} && {shlex.join(self.argv)}",
            f"  files:      {self.workdir}",
            f"  exit code:  {self.process.poll()}" if self.process.poll() is not None else "  the emulator runs on",
            *self._section("the console's last lines", self.text.splitlines()[-60:]),
            *self._section("VM report", self._dump()),
            *self._section("bochs.log", self._bochs_log()),
            *self._section("the emulator's own words", self._file_tail("emulator.txt", 10).splitlines()),
        ]))

    @staticmethod
    def _section(title, lines):
        return [f"--- {title}", *lines] if lines else []

    def _dump(self):
        """The last report of a stopped VM or of a panic, when the last lines do not show all of it."""
        lines = self.text.splitlines()
        starts = [i for i, line in enumerate(lines) if line.startswith(("--- vm", "panic:"))]
        if not starts or starts[-1] >= len(lines) - 60:
            return []
        return lines[starts[-1] : starts[-1] + 80]

    def _bochs_log(self):
        """What Bochs says of failed VM entries and the like."""
        if not self.is_bochs():
            return []
        lines = self._file_tail("bochs.log", 2000).splitlines()
        return [line for line in lines if not BOCHS_CHATTER.search(line)][-40:]

    def _file_tail(self, name, count):
        try:
            with open(os.path.join(self.workdir, name), encoding="utf-8", errors="replace") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 262144))
                return "\n".join(file.read().splitlines()[-count:])
        except OSError:
            return ""
