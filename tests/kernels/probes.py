# ruff: noqa: E501 - a probe is a line
"""Attempts to get out of a kernel, each a cell. One that gets out raises `Escaped`.

A probe that finds its way barred raises something else, or ends quietly. `TOLD` is what the host
tells the probes of what they are to look for.
"""

from __future__ import annotations

PREAMBLE = """
import ctypes, errno, os, socket, struct, subprocess, sys, time, pathlib
libc = ctypes.CDLL(None, use_errno=True)
class Escaped(Exception): pass
def call(number, *arguments):
    found = libc.syscall(number, *arguments)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found
X86 = os.uname().machine == "x86_64"
def escaped(what=""): raise Escaped(str(what)[:200])
TOLD = {told!r}
"""

PROBES: dict[str, str] = {
    "read_a_file_of_the_host": "escaped(open(TOLD['secret']).read())",
    "read_etc_shadow": "escaped(open('/etc/shadow').read())",
    "read_the_key_of_the_store": "escaped(open(TOLD['folder'] + '/parlour.key').read())",
    "read_the_home_of_root": """
found = os.listdir('/root')
if any(not sys.base_prefix.startswith(f'/root/{name}') for name in found): escaped(found)
""",
    "read_another_workspace": "escaped(open(TOLD['other'] + '/work/secret.txt').read())",
    "list_other_workspaces": """
for folder in (TOLD['folder'], '/.workspaces', '..', '../..', '/proc/self/cwd/../..'):
    try: found = os.listdir(folder)
    except OSError: continue
    if 'other' in found: escaped(folder)
""",
    "read_another_workspace_through_a_link": """
os.symlink(TOLD['other'] + '/work/secret.txt', 'link'); escaped(open('link').read())
""",
    "write_through_a_link_out_of_the_workspace": """
os.symlink(TOLD['folder'] + '/planted', 'out')
open('out', 'w').write('x'); escaped()
""",
    "make_a_hard_link_to_a_file_of_the_host": """
os.link(TOLD['secret'], 'hard'); escaped(open('hard').read())
""",
    "write_to_usr": "open('/usr/lib/planted', 'w'); escaped()",
    "write_to_the_environment_of_python": "open(os.path.join(sys.prefix, 'planted'), 'w'); escaped()",
    "write_to_a_device": """
for name in ('sda', 'vda', 'nvme0n1', 'mem', 'kmem', 'port', 'kmsg'):
    try: open('/dev/' + name, 'rb').read(1)
    except OSError: continue
    escaped(name)
""",
    "make_a_device": "import stat; os.mknod('disk', 0o600 | stat.S_IFBLK, os.makedev(254, 0)); escaped()",
    "read_secrets_in_the_environment": """
if 's3cret' in repr(dict(os.environ)): escaped()
if b's3cret' in open('/proc/self/environ', 'rb').read(): escaped('proc')
""",
    "walk_the_processes_for_secrets": """
for name in os.listdir('/proc'):
    if name.isdecimal():
        try:
            if b's3cret' in open(f'/proc/{name}/environ', 'rb').read(): escaped(name)
        except OSError: pass
""",
    "see_processes_of_the_host": "open(f\"/proc/{TOLD['pid']}/cmdline\").read() and escaped()",
    "reach_the_host_through_proc": """
for process in (TOLD['pid'], TOLD['neighbour'], os.getppid()):
    if process == 0 or process == os.getpid(): continue
    for way in ('root', 'cwd', 'fd', 'map_files', 'task'):
        try: os.listdir(f'/proc/{process}/{way}/'); escaped(f'{process} {way}')
        except OSError: pass
    for way in ('mem', 'maps', 'environ', 'stack'):
        try: open(f'/proc/{process}/{way}', 'rb').read(1); escaped(f'{process} {way}')
        except OSError: pass
for at in ('/proc/1/root', '/proc/self/root'):
    try: escaped(open(at + TOLD['secret']).read())
    except OSError: pass
""",
    "kill_the_parent": "os.getppid() > 0 and (os.kill(os.getppid(), 0), escaped())",
    "signal_the_server": "os.kill(TOLD['pid'], 0); escaped()",
    "signal_another_kernel": "os.kill(TOLD['neighbour'], 0); escaped()",
    "signal_everybody": """
import signal
me = os.getpid()
os.kill(-1, 0)
""",
    "trace_another_kernel": "call(101 if X86 else 117, 16, TOLD['neighbour'], 0, 0); escaped()",
    "trace_the_server": "call(101 if X86 else 117, 16, TOLD['pid'], 0, 0); escaped()",
    "read_memory_of_another_process": """
buffer = ctypes.create_string_buffer(16)
here = struct.pack('PN', ctypes.addressof(buffer), 16)
there = struct.pack('PN', 0x400000, 16)
call(310 if X86 else 270, TOLD['pid'], here, 1, there, 1, 0); escaped()
""",
    "take_a_descriptor_of_another_process": """
fd = os.pidfd_open(TOLD['pid']); call(438, fd, 0, 0); escaped()
""",
    "connect_by_tcp": "socket.create_connection(('127.0.0.1', TOLD['port']), 2); escaped()",
    "send_by_udp": """
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.1', TOLD['port'])); escaped()
""",
    "listen_on_the_network": "socket.create_server(('127.0.0.1', 0)); escaped()",
    "resolve_a_name": "socket.getaddrinfo('example.com', 80); escaped()",
    "connect_by_vsock": "socket.socket(40, socket.SOCK_STREAM); escaped()",
    "talk_netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); escaped()",
    "send_raw_packets": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW); escaped()",
    "talk_to_the_crypto_of_the_kernel": "socket.socket(38, socket.SOCK_SEQPACKET); escaped()",
    "connect_to_a_unix_socket": """
s = socket.socket(socket.AF_UNIX); s.connect(TOLD['unix']); escaped()
""",
    "connect_to_an_abstract_socket": """
s = socket.socket(socket.AF_UNIX); s.connect('\\0' + TOLD['abstract']); escaped()
""",
    "read_shared_memory_of_others": "escaped(open('/dev/shm/' + TOLD['shm']).read())",
    "mount_something": "libc.mount(b'x', b'/tmp', b'tmpfs', 0, None) == 0 and escaped()",
    "mount_by_the_new_calls": "call(430, b'tmpfs', 0); escaped()",
    "unmount_something": "libc.umount2(b'/proc', 2) == 0 and escaped()",
    "change_the_root": "os.chroot('.'); escaped()",
    "make_a_user_namespace": "call(272 if X86 else 97, 0x10000000); escaped()",
    "make_a_namespace_by_clone": """
pid = call(56 if X86 else 220, 0x10000000 | 17, 0, 0, 0, 0)
if pid == 0: os._exit(0)
escaped()
""",
    "enter_a_namespace": "fd = os.open('/proc/self/ns/net', os.O_RDONLY); call(308 if X86 else 268, fd, 0); escaped()",
    "use_io_uring": "call(425, 8, ctypes.create_string_buffer(256)); escaped()",
    "load_a_program_into_the_kernel": "call(321 if X86 else 280, 0, ctypes.create_string_buffer(128), 128); escaped()",
    "handle_page_faults": "call(323 if X86 else 282, 1); escaped()",
    "read_the_keyring": "call(250 if X86 else 219, 0, -3, 1); escaped()",
    "measure_the_machine": "call(298 if X86 else 241, ctypes.create_string_buffer(128), 0, -1, -1, 0); escaped()",
    "open_by_handle": "call(304 if X86 else 265, -100, ctypes.create_string_buffer(64), 0); escaped()",
    "become_root": """
for change in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgid(0)):
    try: change()
    except OSError: continue
    if os.getuid() == 0 or os.getgid() == 0: escaped()
""",
    "become_root_by_a_program": """
for program in ('/usr/bin/su', '/usr/bin/sudo', '/bin/su'):
    if os.path.exists(program):
        done = subprocess.run([program, '-c', 'id -u'], capture_output=True, text=True, input='')
        if done.stdout.strip() == '0': escaped(program)
""",
    "have_a_capability": """
held = {l.split(':')[0]: l.split()[1] for l in open('/proc/self/status') if l.startswith('Cap')}
allowed = TOLD['key']
if int(held['CapEff'], 16) & ~allowed or int(held['CapPrm'], 16) & ~allowed: escaped(held)
""",
    "lend_a_file_to_others": "open('mine', 'w').close(); os.chmod('mine', 0o4755); escaped()",
    "change_a_setting_of_the_kernel": """
for name in ('kernel/core_pattern', 'kernel/hostname', 'vm/overcommit_memory'):
    try: open('/proc/sys/' + name, 'w').write('x')
    except OSError: continue
    escaped(name)
""",
    "press_keys_for_others": """
import fcntl
fcntl.ioctl(0, 0x5412, b'x'); escaped()
""",
    "change_the_hostname": "socket.sethostname('mine'); escaped()",
    "set_the_clock": "time.clock_settime(time.CLOCK_REALTIME, 0); escaped()",
    "read_the_log_of_the_kernel": "call(103 if X86 else 116, 3, ctypes.create_string_buffer(64), 64) and escaped()",
    "take_4_gigabytes": "held = bytearray(4 * 2**30); escaped(len(held))",
    "write_a_file_of_a_gigabyte": """
with open('big', 'wb') as out:
    for _ in range(1024): out.write(bytes(2**20))
escaped()
""",
    "open_a_thousand_files": "held = [os.dup(0) for _ in range(1000)]; escaped()",
    "start_a_thousand_processes": """
pids = []
try:
    for _ in range(1000):
        pid = os.fork()
        if pid == 0:
            time.sleep(60); os._exit(0)
        pids.append(pid)
    escaped(len(pids))
finally:
    import signal
    for pid in pids: os.kill(pid, signal.SIGKILL)
    for pid in pids: os.waitpid(pid, 0)
""",
    "raise_its_own_limits": """
import resource
for kind in (resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
    try: resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError): continue
    escaped(kind)
""",
    "lift_the_filter": "libc.prctl(22, 0, 0, 0, 0) == 0 and escaped()",
    "keep_a_descriptor_of_the_server": """
for name in os.listdir('/proc/self/fd'):
    at = os.readlink('/proc/self/fd/' + name)
    if int(name) > 5 and not at.startswith('/proc') and 'pts' not in at: escaped(f'{name} {at}')
""",
    "reach_the_server_by_its_channel": """
s = socket.socket(fileno=os.dup(3))
socket.send_fds(s, [(2).to_bytes(4, 'little') + b'{}'], [os.open('/', os.O_RDONLY)])
""",
}
"""Name to code; the last ones may say something strange to the engine, which must bear it."""

HARMLESS = (
    "read_a_file_of_the_host",
    "read_another_workspace",
    "list_other_workspaces",
    "walk_the_processes_for_secrets",
    "see_processes_of_the_host",
    "signal_the_server",
    "signal_another_kernel",
    "connect_by_tcp",
    "send_by_udp",
    "listen_on_the_network",
    "connect_to_a_unix_socket",
    "connect_to_an_abstract_socket",
    "read_shared_memory_of_others",
    "write_through_a_link_out_of_the_workspace",
    "make_a_user_namespace",
)
"""Those that are sure to get out where nothing confines them, and do no harm then."""

ORDINARY: dict[str, str] = {
    "write_and_read_a_csv": """
import csv
with open('a.csv', 'w', newline='') as out: csv.writer(out).writerows([[1, 2], [3, 4]])
assert open('a.csv', newline='').read() == '1,2\\r\\n3,4\\r\\n'
""",
    "use_temporary_files": "import tempfile\nwith tempfile.TemporaryFile() as f: f.write(b'x')",
    "use_sqlite": "import sqlite3; sqlite3.connect('a.db').execute('create table t(x)')",
    "run_a_program": "assert subprocess.run(['echo', 'a'], capture_output=True).stdout == b'a\\n'",
    "run_a_shell_command": "found = !echo a\nassert found == ['a'], found",
    "use_threads": "import threading; t = threading.Thread(target=print); t.start(); t.join()",
    "use_several_processes": """
import multiprocessing as mp
with mp.get_context('fork').Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
""",
    "await_at_the_top": "import asyncio; await asyncio.sleep(0)",
    "know_the_time_zones": "import zoneinfo; zoneinfo.ZoneInfo('Europe/Berlin')",
    "import_a_module_of_its_own": """
pathlib.Path('mine.py').write_text('x = 5')
import mine; assert mine.x == 5
""",
    "use_magics": "%timeit -n1 -r1 pass",
    "read_its_own_state": "open('/proc/self/status').read()",
    "import_what_is_installed": "import json, email, http, xml.dom.minidom",
}
