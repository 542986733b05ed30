// Calls methods of a client library one after the other and prints, as JSON, what each gave or how it failed.
// Standard input: {"library": "openwhisk" | "@adobe/aio-lib-runtime", "calls": [[group, method, argument], ...]}.
const { library, calls } = JSON.parse(require('fs').readFileSync(0))
const settings = { apihost: process.env.OW_APIHOST, api_key: process.env.OW_AUTH }

async function main () {
  const client = library === 'openwhisk'
    ? require('openwhisk')(settings)
    : await require(library).init({ ...settings, namespace: process.env.OW_NAMESPACE })
  const found = []
  for (const [group, method, argument] of calls) {
    try {
      found.push({ value: await client[group][method](argument) ?? null })
    } catch (error) {
      found.push({ status: error.statusCode ?? error.sdkDetails?.statusCode ?? null, error: error.error ?? null, message: error.message })
    }
  }
  console.log(JSON.stringify(found))
}

main()
