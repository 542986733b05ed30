'use strict'
/* Unpacks zip and tar.gz archives of actions; nothing is ever written outside of the target directory. */

const fs = require('fs')
const path = require('path')
const zlib = require('zlib')

const BLOCK = 512 // tar's record size
const MAX_LINK = 4096 // Linux's PATH_MAX
const CENTRAL = 0x02014b50
const END = 0x06054b50
const LOCAL = 0x04034b50

class BadArchive extends Error {}

/** Write the archive's files below `directory`. Throws BadArchive for what is unsupported, damaged or hostile. */
function unpack (data, directory) {
  const root = fs.realpathSync(directory)
  const zip = data.length > 4 && data.readUInt32LE(0) === LOCAL
  if (!zip && !(data[0] === 0x1f && data[1] === 0x8b)) {
    throw new BadArchive('There was an error uncompressing the action archive. The file type is unsupported')
  }
  try {
    for (const entry of zip ? zipEntries(data) : tarEntries(zlib.gunzipSync(data))) write(root, entry)
  } catch (reason) {
    if (reason instanceof BadArchive) throw reason
    throw damaged(zip, reason.message)
  }
}

function damaged (zip, detail) {
  const kind = zip ? 'Zip' : 'tar.gz'
  return new BadArchive(`There was an error uncompressing the action ${kind} archive. ${detail}`.trim())
}

function write (root, entry) {
  const file = inside(root, entry.name)
  if (entry.type === 'directory') {
    fs.mkdirSync(file, { recursive: true })
    return
  }
  fs.mkdirSync(path.dirname(file), { recursive: true })
  if (entry.type === 'link') {
    const goal = resolved(path.resolve(path.dirname(file), entry.target))
    if (path.isAbsolute(entry.target) || !below(root, goal)) {
      throw new BadArchive(`The archive's link ${entry.name} points outside of the archive.`)
    }
    fs.symlinkSync(entry.target, file)
  } else if (entry.type === 'file') {
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = fs.constants
    const data = entry.copyOf === undefined ? entry.data() : original(root, entry)
    const number = fs.openSync(file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, entry.mode & 0o111 ? 0o755 : 0o644)
    try { fs.writeFileSync(number, data) } finally { fs.closeSync(number) }
  } else {
    throw new BadArchive(`The archive's ${entry.name} is neither file, directory nor link.`)
  }
}

function original (root, entry) {
  const source = inside(root, entry.copyOf)
  const found = fs.lstatSync(source, { throwIfNoEntry: false })
  if (!found || !found.isFile()) throw new BadArchive(`The archive's link ${entry.name} has no target.`)
  return fs.readFileSync(source)
}

function below (root, place) {
  return place === root || place.startsWith(root + path.sep)
}

/** The path of an entry. Links made by earlier entries are followed before it is compared. */
function inside (root, name) {
  const parts = name.split(/[\\/]/)
  const file = path.join(root, ...parts)
  const usable = name && !name.includes('\0') && !path.isAbsolute(name) && !parts.includes('..')
  if (!usable || (file !== root && !below(root, resolved(path.dirname(file))))) {
    throw new BadArchive(`The archive's entry ${JSON.stringify(name)} lies outside of the archive.`)
  }
  return file.endsWith(path.sep) ? file.slice(0, -1) : file
}

/** realpath(3) of a place that need not exist: links are followed as far as they do. */
function resolved (place, depth = 0) {
  if (depth > 40) throw new BadArchive('The archive has too many links.')
  const parent = path.dirname(place)
  if (parent === place) return place
  const real = path.join(resolved(parent, depth), path.basename(place))
  const found = fs.lstatSync(real, { throwIfNoEntry: false })
  if (!found || !found.isSymbolicLink()) return real
  return resolved(path.resolve(path.dirname(real), fs.readlinkSync(real)), depth + 1)
}

function * zipEntries (data) {
  const end = data.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]))
  if (end < 0 || end + 22 > data.length || data.readUInt32LE(end) !== END) throw damaged(true, '')
  let at = data.readUInt32LE(end + 16)
  for (let left = data.readUInt16LE(end + 10); left > 0; left--) {
    if (at + 46 > data.length || data.readUInt32LE(at) !== CENTRAL) throw damaged(true, '')
    const nameEnd = at + 46 + data.readUInt16LE(at + 28)
    yield zipEntry(data, at, data.toString('utf8', at + 46, nameEnd))
    at = nameEnd + data.readUInt16LE(at + 30) + data.readUInt16LE(at + 32)
  }
}

function zipEntry (data, at, name) {
  const mode = data.readUInt32LE(at + 38) >>> 16
  const content = () => zipContent(data, at)
  if (name.endsWith('/')) return { name, type: 'directory' }
  if ((mode & 0o170000) !== 0o120000) return { name, type: 'file', mode, data: content }
  if (data.readUInt32LE(at + 24) > MAX_LINK) throw new BadArchive(`The archive's link ${name} is too long.`)
  return { name, type: 'link', target: content().toString() }
}

function zipContent (data, at) {
  const [flags, method] = [data.readUInt16LE(at + 8), data.readUInt16LE(at + 10)]
  const [packed, size, local] = [data.readUInt32LE(at + 20), data.readUInt32LE(at + 24), data.readUInt32LE(at + 42)]
  if (flags & 1 || (method !== 0 && method !== 8)) throw damaged(true, 'It is encrypted or packed by an unknown method.')
  if (data.readUInt32LE(local) !== LOCAL) throw damaged(true, '')
  const start = local + 30 + data.readUInt16LE(local + 26) + data.readUInt16LE(local + 28)
  if (start + packed > data.length) throw damaged(true, '')
  const raw = data.subarray(start, start + packed)
  const content = method === 0 ? raw : zlib.inflateRawSync(raw, { maxOutputLength: Math.max(size, 1) })
  if (content.length !== size) throw damaged(true, 'A file is shorter than it should be.')
  return content
}

function * tarEntries (data) {
  let extra = {}
  for (let at = 0; at + BLOCK <= data.length;) {
    const head = data.subarray(at, at + BLOCK)
    if (head.every(byte => byte === 0)) return
    checkHead(head)
    const size = octal(head, 124, 12)
    const content = data.subarray(at + BLOCK, at + BLOCK + size)
    if (content.length < size) throw damaged(false, 'It is cut off.')
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK
    const type = String.fromCharCode(head[156])
    if (type === 'x') Object.assign(extra, paxRecords(content))
    else if (type === 'L') extra.path = text(content, 0, size)
    else if (type === 'K') extra.linkpath = text(content, 0, size)
    else if (type !== 'g') {
      yield tarEntry(head, type, content, extra)
      extra = {}
    }
  }
}

function tarEntry (head, type, content, extra) {
  const prefix = text(head, 257, 6).startsWith('ustar') ? text(head, 345, 155) : ''
  const name = extra.path ?? (prefix ? prefix + '/' : '') + text(head, 0, 100)
  const target = extra.linkpath ?? text(head, 157, 100)
  const mode = octal(head, 100, 8)
  if (type === '5' || name.endsWith('/')) return { name, type: 'directory' }
  if (type === '2') return { name, type: 'link', target }
  if (type === '1') return { name, type: 'file', mode, copyOf: target }
  if (type === '0' || type === '\0' || type === '7') return { name, type: 'file', mode, data: () => content }
  return { name, type: 'unsupported' }
}

function checkHead (head) {
  let sum = 8 * 32
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += head[i]
  if (sum !== octal(head, 148, 8)) throw damaged(false, 'A header is broken.')
}

function text (data, start, length) {
  const end = data.indexOf(0, start)
  return data.toString('utf8', start, end < 0 ? start + length : Math.min(end, start + length))
}

function octal (data, start, length) {
  const digits = text(data, start, length).trim()
  if (!/^[0-7]*$/.test(digits)) throw damaged(false, 'A number is broken.')
  return parseInt(digits || '0', 8)
}

function paxRecords (content) {
  const records = {}
  for (let at = 0; at < content.length;) {
    const space = content.indexOf(32, at)
    const length = parseInt(content.toString('latin1', at, space), 10)
    if (space < 0 || !(length > space - at)) throw damaged(false, 'A header is broken.')
    const [key, ...value] = content.toString('utf8', space + 1, at + length - 1).split('=')
    if (key === 'path' || key === 'linkpath') records[key] = value.join('=')
    at += length
  }
  return records
}

module.exports = { unpack, BadArchive }
