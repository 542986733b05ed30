// Runs commands of the aio runtime plugin one after the other in one process and prints, as JSON, what each printed.
// Standard input: [["action", "list", ...], ...].
const { run } = require('@oclif/core')
const path = require('path')

const root = path.dirname(require.resolve('@adobe/aio-cli-plugin-runtime/package.json'))
const commands = JSON.parse(require('fs').readFileSync(0))
const streams = ['stdout', 'stderr']

async function once (argv) {
  const printed = { stdout: '', stderr: '' }
  const writes = streams.map(name => process[name].write)
  streams.forEach(name => { process[name].write = chunk => { printed[name] += chunk; return true } })
  let failure = null
  try {
    await run(['runtime', ...argv], root)
  } catch (error) {
    if (error.oclif?.exit !== 0) failure = error.message
  } finally {
    streams.forEach((name, index) => { process[name].write = writes[index] })
  }
  return { ...printed, failure }
}

async function main () {
  const found = []
  for (const argv of commands) found.push(await once(argv))
  console.log(JSON.stringify(found))
}

main()
