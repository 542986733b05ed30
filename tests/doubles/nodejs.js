// Answers and prints as OpenWhisk's own Node.js runtime was recorded to (tests/golden/runtime-exchanges.jsonl), and boots as slowly.
'use strict'
const http = require('http')

const SENTINEL = 'XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX'
const BOOT_MS = 275
const CONTEXT = ['api_key', 'namespace', 'action_name', 'action_version', 'activation_id', 'transaction_id', 'deadline']
let state = 'new'
let main

function mark () {
  console.log(SENTINEL)
  console.error(SENTINEL)
}

function refuse (text) {
  console.error('Internal system error: ' + text)
  return [403, { error: text }]
}

function init (value = {}) {
  if (state !== 'new') return refuse('Cannot initialize the action more than once.')
  if (typeof value.main !== 'string' || typeof value.code !== 'string') return refuse('Missing main/no code to execute.')
  Object.assign(process.env, value.env)
  try {
    main = new Function('require', value.code + '\nreturn ' + value.main)(require)
  } catch (error) {
    state = 'stopped'
    console.error('Error during initialization:', error)
    mark()
    return [502, { error: 'Initialization has failed due to: ' + error.stack }]
  }
  state = 'ready'
  return [200, { OK: true }]
}

async function run (body) {
  if (state === 'new') return refuse('System not initialized.')
  if (state !== 'ready' && !process.env.__OW_ALLOW_CONCURRENT) return refuse(`System not ready, status is ${state}.`)
  state = 'running'
  for (const name of CONTEXT) process.env['__OW_' + name.toUpperCase()] = body[name]
  let made
  try {
    made = main(body.value)
  } catch (error) {
    state = 'stopped'
    console.error(error)
    mark()
    return [502, { error: 'An error has occurred: ' + error }]
  }
  const result = await Promise.resolve(made).catch(error => ({ error: { name: error.name, message: error.message } }))
  mark()
  state = 'ready'
  if (result === undefined) return [200, {}]
  return typeof result === 'object' ? [200, result] : [502, { error: 'The action did not return a dictionary.' }]
}

const server = http.createServer((request, response) => {
  const pieces = []
  request.on('data', piece => pieces.push(piece))
  request.on('end', async () => {
    const body = JSON.parse(Buffer.concat(pieces).toString())
    const [status, answer] = await (request.url === '/init' ? init(body.value) : run(body))
    const text = JSON.stringify(answer)
    // Recorded with a length; others that keep the interface send chunks, or close.
    const how = (answer || {}).__http
    const more = how === 'chunked' ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': Buffer.byteLength(text) }
    if (how === 'close') more.Connection = 'close'
    response.writeHead(status, { 'X-Powered-By': 'Express', 'Content-Type': 'application/json; charset=utf-8', ETag: 'W/"x"', ...more })
    if (how === 'chunked') for (const at of text) response.write(at)
    response.end(how === 'chunked' ? '' : text)
  })
})
setTimeout(() => server.listen(8080), BOOT_MS)
