'use strict'
/*
 * The Node.js action runtime: upstream's action interface (`POST /init`, `POST /run`, sentinels) around one action.
 * Runs inside a container or an isolated process, on Node.js 18 and later, with nothing but its own modules.
 */

const fs = require('fs')
const http = require('http')
const path = require('path')
const { encode, errorText, InitFailed, load, serialisedError } = require('./action.js')

const SENTINEL = 'XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n'
const MAX_BODY = 48 * 1024 * 1024 // upstream's limit
const OK = '{"OK":true}'
const BAD_REQUEST = errorText('Bad request.')

const streams = [[process.stdout, 1], [process.stderr, 2]].map(([stream, number]) => ({ stream, number, node: inode(number) }))
for (const { stream } of streams) stream.on('error', () => {}) // nobody reads it, or the action ended it: its own loss

function inode (number) {
  try { return fs.fstatSync(number).ino } catch { return -1 }
}

/** Write to a stream's descriptor, unless the action closed it and the number now belongs to something else. */
function writeTo ({ number, node }, text) {
  if (inode(number) !== node) return
  for (let left = Buffer.from(text); left.length > 0;) {
    try {
      left = left.subarray(fs.writeSync(number, left))
    } catch (reason) {
      if (reason.code !== 'EAGAIN') return
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}

/** Flush both streams and end the activation's output with the sentinels, whatever the action did to `console`. */
async function endOutput () {
  await new Promise(resolve => process.nextTick(resolve)) // what the action put off until the next tick still belongs to it
  for (const it of streams) {
    if (it.stream.writableLength > 0 && !it.stream.destroyed) await new Promise(resolve => it.stream.write('', resolve))
    writeTo(it, SENTINEL)
  }
}

function log (text) {
  writeTo(streams[1], text + '\n')
}

/** One action and what is being done with it. `status` is ready, starting, running or stopped, as upstream names them. */
class Runtime {
  constructor (directory, concurrent) {
    this.directory = directory
    this.concurrent = concurrent
    this.status = 'ready'
    this.main = undefined
  }

  refuse (text) {
    log(`Internal system error: ${text}`)
    return [403, errorText(text)]
  }

  async init (body) {
    if (this.main) return this.refuse('Cannot initialize the action more than once.')
    if (this.status !== 'ready') return this.refuse(`System not ready, status is ${this.status}.`)
    const { main, code, binary, env } = body.value ?? {}
    if (!isText(main) || !isText(code)) return [403, errorText('Missing main/no code to execute.')]
    this.status = 'starting'
    try {
      setEnvironment(env)
      this.main = await load(code, main, Boolean(binary), newDirectory(this.directory))
    } catch (reason) {
      return this.initFailed(reason)
    }
    this.status = 'ready'
    return [200, OK]
  }

  async initFailed (reason) {
    this.status = 'stopped'
    const text = reason instanceof InitFailed ? reason.message : reason?.stack ?? String(reason)
    log(`Error during initialization: ${text}`)
    await endOutput()
    return [502, errorText(`Initialization has failed due to: ${text}`)]
  }

  async run (body) {
    if (!this.main) return this.refuse('System not initialized.')
    if (this.status !== 'ready') return this.refuse(`System not ready, status is ${this.status}.`)
    const args = body.value ?? {}
    if (typeof args !== 'object') {
      return this.refuse(`Internal system error: the argument must be a dictionary but has type '${typeof args}'.`)
    }
    if (!this.concurrent) this.status = 'running'
    setContext(body)
    const answer = await this.call(args)
    await endOutput()
    if (this.status === 'running') this.status = 'ready'
    return answer
  }

  async call (args) {
    let pending
    try {
      pending = this.main(args)
    } catch (reason) {
      this.status = 'stopped'
      log(typeof reason === 'string' ? reason : inspected(reason))
      return [502, errorText(`An error has occurred: ${described(reason)}`)]
    }
    try {
      return encode(await pending, log)
    } catch (reason) {
      return encode({ error: serialisedError(reason) }, log)
    }
  }
}

/** Upstream's names for the directories of attempts; one that an earlier process left is not touched. */
function newDirectory (directory) {
  let attempt = 1
  while (fs.existsSync(path.join(directory, String(attempt)))) attempt++
  return path.join(directory, String(attempt), 'bin')
}

function isText (value) {
  return typeof value === 'string' && value !== ''
}

function inspected (reason) {
  try { return require('util').inspect(reason) } catch { return described(reason) }
}

function described (reason) {
  try { return String(reason) } catch { return 'unknown' }
}

/** Values that are no text become JSON, and false, 0 and null the empty text: upstream's rule. */
function setEnvironment (env) {
  for (const [name, value] of Object.entries(env ?? {})) {
    process.env[name] = typeof value === 'object' && value !== null ? JSON.stringify(value) : value || ''
  }
}

function setContext (body) {
  for (const [name, value] of Object.entries(body)) {
    if (name !== 'value' && typeof value === 'string') process.env['__OW_' + name.toUpperCase()] = value
  }
}

/** The JSON object of a request's body; an empty body is an empty object. Rejects with what is wrong. */
async function readBody (request) {
  const parts = []
  let size = 0
  for await (const part of request.headers['content-encoding'] ? unzipped(request) : request) {
    size += part.length
    if (size > MAX_BODY) throw new Error('the body is too long')
    parts.push(part)
  }
  const text = (parts.length === 1 ? parts[0] : Buffer.concat(parts)).toString().replace(/^\uFEFF/, '')
  const value = text === '' ? {} : JSON.parse(text)
  if (typeof value !== 'object' || value === null) throw new Error('the body is neither object nor array')
  return value
}

function unzipped (request) {
  return require('stream').pipeline(request, require('zlib').createUnzip(), () => {})
}

async function handle (runtime, request, response) {
  const [, name] = /^\/(init|run)\/?(?:\?.*)?$/i.exec(request.url) ?? []
  if (request.method !== 'POST' || !name) return send(response, 500, BAD_REQUEST)
  let body
  try {
    body = await readBody(request)
  } catch {
    request.resume() // what is left of a body that is too long is thrown away
    return send(response, 500, BAD_REQUEST)
  }
  const [status, text] = await runtime[name.toLowerCase()](body)
  return send(response, status, text)
}

function send (response, status, text) {
  if (response.headersSent) return
  const body = Buffer.from(text)
  response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': body.length })
  response.end(body)
}

function createServer (runtime) {
  const server = http.createServer((request, response) => {
    request.on('error', () => {}) // the client hung up
    handle(runtime, request, response).catch(reason => {
      log(`Internal system error: ${reason?.message}`)
      send(response, 500, errorText('Internal error.'))
    })
  })
  server.keepAliveTimeout = 0 // a node keeps its connection between runs for as long as it likes
  server.requestTimeout = 0
  server.headersTimeout = 0
  return server
}

/** Inherited, connected sockets, one for each run at a time: when all have closed there is nothing left to serve. */
function serveConnections (server, numbers) {
  const { Socket } = require('net')
  let open = numbers.length
  for (const fd of numbers) {
    const socket = new Socket({ fd, readable: true, writable: true })
    socket.on('close', () => { if (--open === 0) process.exit(0) })
    server.emit('connection', socket)
  }
}

function parse (argumentsGiven) {
  const options = { '--port': process.env.__OW_PORT ?? '8080', '--host': '0.0.0.0', '--dir': process.cwd() }
  for (let i = 0; i < argumentsGiven.length; i += 2) {
    const known = ['--port', '--host', '--unix', '--fd', '--dir'].includes(argumentsGiven[i])
    if (!known || !argumentsGiven[i + 1]) fail('usage: proxy.js [--port N [--host ADDRESS] | --unix PATH | --fd N[,N…]] [--dir DIRECTORY]')
    options[argumentsGiven[i]] = argumentsGiven[i + 1]
  }
  return options
}

function fail (text) {
  fs.writeSync(2, text + '\n')
  process.exit(1)
}

function main () {
  // As process 1 the kernel ignores the default action; elsewhere the default ends even an endless loop.
  if (process.pid === 1) process.on('SIGTERM', () => process.exit(143))
  const options = parse(process.argv.slice(2))
  const server = createServer(new Runtime(options['--dir'], process.env.__OW_ALLOW_CONCURRENT === 'true'))
  server.on('error', reason => fail(`The runtime can't listen: ${reason.message}`))
  try {
    if (options['--fd']) serveConnections(server, options['--fd'].split(',').map(Number))
    else if (options['--unix']) server.listen(options['--unix'])
    else server.listen(Number(options['--port']), options['--host'])
  } catch (reason) {
    fail(`The runtime can't listen: ${reason.message}`)
  }
}

if (require.main === module) main()

module.exports = { createServer, Runtime }
