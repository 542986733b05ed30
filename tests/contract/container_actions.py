"""Actions that the suite of containers runs, in the languages of the drivers' own runtimes."""

from __future__ import annotations

PYTHON = {
    "echo": "def main(args):\n    return args",
    "broken": "def main(args:\n",
    "counter": "count = 0\ndef main(args):\n    global count\n    count += 1\n    return {'count': count}",
    "big": "def main(args):\n    return {'got': len(args.get('x', '')), 'x': 'y' * args['n']}",
    "exit": "import os\ndef main(args):\n    os._exit(3)",
    "exit_init": "import os\nos._exit(3)\ndef main(args):\n    return {}",
    "sleep": "import time\ndef main(args):\n    time.sleep(args['s'])\n    return {'slept': args['s']}",
    "sleep_init": "import time\ntime.sleep(60)\ndef main(args):\n    return {}",
    "endless": "def main(args):\n    while True:\n        print('x' * 1000, flush=True)",
    "memory": "def main(args):\n    x = bytearray(b'x' * (1 << 30))\n    return {'n': len(x)}",
    "memory_init": "x = bytearray(b'x' * (1 << 30))\ndef main(args):\n    return {}",
    "memory_child": (
        "import os\ndef main(args):\n    pid = os.fork()\n    if pid == 0:\n        x = bytearray(b'x' * (1 << 30))\n"
        "        os._exit(0)\n    return {'status': os.waitpid(pid, 0)[1]}"
    ),
    "memory_later": (
        "import threading, time\ndef grow():\n    time.sleep(0.1)\n    x = bytearray(b'x' * (1 << 30))\n"
        "def main(args):\n    threading.Thread(target=grow).start()\n    return {}"
    ),
    "binary": (
        "import os\ndef main(args):\n    os.write(1, bytes(range(256)))\n    os.write(2, bytes(range(255, -1, -1)))\n    return {}"
    ),
    "lines": (
        "import sys\ndef main(args):\n    for i in range(2000):\n        print('out', i)\n"
        "        print('err', i, file=sys.stderr)\n    return {}"
    ),
    "env": "import os\ndef main(args):\n    return dict(os.environ)",
    "later": "import os, threading, time\ndef end():\n    time.sleep(0.2)\n    os._exit(1)\n"
    "def main(args):\n    threading.Thread(target=end).start()\n    return {}",
}

NODEJS = {
    "echo": "function main(args) { return args }",
    "broken": "function main(args {",
    "counter": "let count = 0\nfunction main(args) { return { count: ++count } }",
    "big": "function main(args) { return { got: (args.x || '').length, x: 'y'.repeat(args.n) } }",
    "exit": "function main(args) { process.exit(3) }",
    "exit_init": "process.exit(3)\nfunction main(args) { return {} }",
    "sleep": "const main = args => new Promise(done => setTimeout(() => done({ slept: args.s }), args.s * 1000))",
    "sleep_init": "const end = Date.now() + 60000\nwhile (Date.now() < end) {}\nfunction main(args) { return {} }",
    "endless": "function main(args) { const fs = require('fs')\nconst line = 'x'.repeat(1000) + '\\n'\n"
    "while (true) try { fs.writeSync(1, line) } catch (e) {} }",
    "memory": "function main(args) { const all = []\nwhile (true) all.push(Buffer.alloc(1 << 24, 1)) }",
    "memory_init": "const all = []\nwhile (true) all.push(Buffer.alloc(1 << 24, 1))\nfunction main(args) { return {} }",
    "memory_child": (
        "function main(args) { const code = 'const all = []; while (true) all.push(Buffer.alloc(1 << 24, 1))'\n"
        "const done = require('child_process').spawnSync(process.execPath, ['-e', code])\nreturn { signal: done.signal } }"
    ),
    "memory_later": (
        "function main(args) { const all = []\n"
        "setTimeout(() => { while (true) all.push(Buffer.alloc(1 << 24, 1)) }, 100)\nreturn {} }"
    ),
    "binary": (
        "function main(args) { const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i))\n"
        "require('fs').writeSync(1, all)\nrequire('fs').writeSync(2, Buffer.from(all).reverse())\nreturn {} }"
    ),
    "lines": (
        "function main(args) { for (let i = 0; i < 2000; i++) { console.log('out', i); console.error('err', i) }\nreturn {} }"
    ),
    "env": "function main(args) { return { ...process.env } }",
    "later": "function main(args) { setTimeout(() => process.exit(1), 200)\nreturn {} }",
}

ACTIONS = {"python": PYTHON, "nodejs": NODEJS}
