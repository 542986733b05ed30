'use strict'
/* The user's action: loading it from source text or an archive, calling it, and what its result becomes. */

const fs = require('fs')
const path = require('path')
const vm = require('vm')
const { createRequire, Module } = require('module')

class InitFailed extends Error {}

/** The entry function `main` of the action `code`; files of an archive go below `directory`. Throws or rejects. */
async function load (code, main, binary, directory) {
  return binary ? loadArchive(code, main, directory) : loadSource(code, main, directory)
}

/**
 * Source text becomes a CommonJS module. It stands in a function of its own, so that it may declare names such as `module`, and
 * so that an entry which it declares but doesn't export can be had.
 */
function loadSource (code, main, directory) {
  const filename = path.join(directory, 'index.js')
  const module = new Module(filename, null)
  module.filename = filename
  module.paths = Module._nodeModulePaths(directory)
  const lookup = isReference(main) ? `typeof ${main.split('.')[0]} === 'undefined' ? undefined : ${main}` : 'undefined'
  module._compile(`module.entry = (function () {${code}\n;return ${lookup}\n}).call(this)`, filename)
  return callable(typeof module.entry === 'function' ? module.entry : member(module.exports, main), main)
}

/** Whether `main` may stand in the source as an expression: names with dots between them. */
function isReference (main) {
  if (!/^[\p{ID_Start}$_][\p{ID_Continue}$]*(\.[\p{ID_Start}$_][\p{ID_Continue}$]*)*$/u.test(main)) return false
  try {
    return Boolean(new vm.Script(`typeof ${main}`))
  } catch {
    return false
  }
}

function member (object, main) {
  return main.split('.').reduce((owner, name) => owner?.[name], object)
}

function callable (found, main) {
  if (typeof found !== 'function') throw new InitFailed(`Action entrypoint '${main}' is not a function.`)
  return found
}

async function loadArchive (code, main, directory) {
  const { unpack, BadArchive } = require('./archive.js')
  fs.mkdirSync(directory, { recursive: true })
  try {
    unpack(Buffer.from(code, 'base64'), directory)
  } catch (reason) {
    if (reason instanceof BadArchive) throw new InitFailed(reason.message)
    throw reason
  }
  const manifest = path.join(directory, 'package.json')
  const hasManifest = fs.existsSync(manifest)
  if (!hasManifest && !fs.existsSync(path.join(directory, 'index.js'))) {
    throw new InitFailed('Zipped actions must contain either package.json or index.js at the root.')
  }
  const type = hasManifest ? JSON.parse(fs.readFileSync(manifest, 'utf8'))?.type : undefined
  process.chdir(directory)
  const [file, name] = splitMain(main, directory)
  const loaded = await loadModule(file, type === 'module')
  return callable(member(loaded, name) ?? member(loaded.default, name), main)
}

/** `other.hi` means function hi of other.js where there is such a file, otherwise the member of the package's main module. */
function splitMain (main, directory) {
  const [first, ...rest] = main.split('.')
  const file = path.join(directory, first)
  const named = rest.length > 0 && /^[\w-]+$/.test(first) && ['.js', '.cjs', '.mjs'].find(end => fs.existsSync(file + end))
  return named ? [file + named, rest.join('.')] : [directory, main]
}

/** CommonJS by `require`, anything else by `import`: newer versions that can require a module warn about it in the user's log. */
async function loadModule (file, isModule) {
  const found = createRequire(path.join(process.cwd(), 'index.js')).resolve(file)
  const imported = found.endsWith('.mjs') || (isModule && found.endsWith('.js'))
  return imported ? import(require('url').pathToFileURL(found).href) : createRequire(found)(found)
}

/** What a rejected promise means for the caller. An Error's own members (a code) are kept beside name, message and stack. */
function serialisedError (reason) {
  if (reason === undefined || reason === null || reason === false || reason === '') return {}
  if (!(reason instanceof Error)) return reason
  return { name: reason.name, message: reason.message, stack: reason.stack, ...reason }
}

/** Status and JSON text for a result. `explain` takes what the author of the action should know. */
function encode (result, explain) {
  if (result === undefined) result = {}
  if (typeof result !== 'object') {
    explain(`Result must be of type object but has type "${typeof result}": ${String(result)}`)
    return [502, errorText('The action did not return a dictionary.')]
  }
  try {
    const text = JSON.stringify(result)
    if (text !== undefined) return [200, text]
    explain('The result of the action has no JSON representation.')
  } catch (reason) {
    explain(`The result of the action can't be written as JSON: ${reason?.message}`)
  }
  return [500, errorText('Internal error: the result of the action can\'t be written as JSON.')]
}

function errorText (message) {
  return JSON.stringify({ error: message })
}

module.exports = { load, encode, serialisedError, errorText, InitFailed }
