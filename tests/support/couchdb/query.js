// The query server: runs map functions, keeps their rows sorted by CouchDB's collation, selects and reduces.
// One request a line: {index, map, raw, changed: [[id, doc or null]...]} adds to an index, {index, options} asks it.
const vm = require('vm');
const indexes = new Map();
const collator = new Intl.Collator('und', { alternate: 'non-ignorable', caseFirst: 'lower' });

function rank(v) {
  if (v === null || v === undefined) return 0;
  if (v === false) return 1;
  if (v === true) return 2;
  if (typeof v === 'number') return 3;
  if (typeof v === 'string') return 4;
  return Array.isArray(v) ? 5 : 6;
}

function bytes(a, b) {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function text(a, b, raw) {
  return raw ? bytes(a, b) : collator.compare(a, b) || bytes(a, b);
}

function compare(a, b, raw) {
  const ranks = rank(a) - rank(b);
  if (ranks) return ranks;
  if (typeof a === 'number') return a - b;
  if (typeof a === 'string') return text(a, b, raw);
  if (Array.isArray(a)) {
    for (let i = 0; i < Math.min(a.length, b.length); i++) {
      const found = compare(a[i], b[i], raw);
      if (found) return found;
    }
    return a.length - b.length;
  }
  if (rank(a) === 6) {
    const [x, y] = [Object.entries(a), Object.entries(b)];
    for (let i = 0; i < Math.min(x.length, y.length); i++) {
      const found = text(x[i][0], y[i][0], raw) || compare(x[i][1], y[i][1], raw);
      if (found) return found;
    }
    return x.length - y.length;
  }
  return 0;
}

function compile(source) {
  const context = { rows: [], current: null };
  context.emit = (key, value) => context.rows.push({ id: context.current, key: plain(key), value: plain(value) });
  vm.createContext(context);
  const map = vm.runInContext('(' + source.trim().replace(/;$/, '') + ')', context);
  if (typeof map !== 'function') throw new TypeError('not a function');
  return { context, map };
}

function plain(v) {
  return v === undefined ? null : JSON.parse(JSON.stringify(v));
}

function update(request) {
  let index = indexes.get(request.index);
  if (!index) {
    index = { ...compile(request.map), docs: new Map(), raw: request.raw, sorted: null };
    indexes.set(request.index, index);
  }
  for (const [id, doc] of request.changed) {
    index.docs.delete(id);
    index.sorted = null;
    if (doc === null) continue;
    index.context.rows = [];
    index.context.current = id;
    try { index.map(doc); } catch (error) { index.context.rows = []; } // the throwing document is left out
    if (index.context.rows.length) index.docs.set(id, index.context.rows);
  }
  return {};
}

function sorted(index) {
  if (!index.sorted) {
    index.sorted = [...index.docs.values()].flat();
    index.sorted.sort((a, b) => compare(a.key, b.key, index.raw) || bytes(a.id, b.id));
  }
  return index.sorted;
}

function within(index, o) {
  const rows = o.descending ? [...sorted(index)].reverse() : sorted(index);
  const sign = o.descending ? -1 : 1;
  const side = (row, key, id) => sign * (compare(row.key, key, index.raw) || (id === undefined ? 0 : bytes(row.id, id)));
  let first = 0;
  if ('startkey' in o) while (first < rows.length && side(rows[first], o.startkey, o.startkey_docid) < 0) first++;
  let last = first;
  while (last < rows.length) {
    if ('endkey' in o) {
      const at = side(rows[last], o.endkey, o.endkey_docid);
      if (at > 0 || (at === 0 && o.inclusive_end === false)) break;
    }
    last++;
  }
  return { rows: rows.slice(first, last), offset: first };
}

function reduced(rows, name) {
  const values = rows.map((row) => row.value);
  if (name === '_count') return values.length;
  if (name === '_sum') return values.reduce((a, b) => a + b, 0);
  return {
    sum: values.reduce((a, b) => a + b, 0), count: values.length, min: Math.min(...values), max: Math.max(...values),
    sumsqr: values.reduce((a, b) => a + b * b, 0),
  };
}

function grouped(index, rows, o) {
  const level = o.group ? Infinity : o.group_level || 0;
  const groups = [];
  for (const row of rows) {
    const key = level === 0 ? null : Array.isArray(row.key) ? row.key.slice(0, level) : row.key;
    const last = groups[groups.length - 1];
    if (last && compare(last.key, key, index.raw) === 0) last.rows.push(row); else groups.push({ key, rows: [row] });
  }
  return groups.map((group) => ({ key: group.key, value: reduced(group.rows, o.reduce) }));
}

function ask(request) {
  const index = indexes.get(request.index);
  const o = request.options;
  if ('startkey' in o && 'endkey' in o && (o.descending ? -1 : 1) * compare(o.startkey, o.endkey, index.raw) > 0) {
    return { reversed: true };
  }
  const ranges = o.keys ? o.keys.map((key) => ({ ...o, startkey: key, endkey: key })) : [o];
  const parts = ranges.map((each) => within(index, each));
  const cut = (rows) => rows.slice(o.skip, o.limit === null ? undefined : o.skip + o.limit);
  if (o.reduce) return { rows: cut(parts.flatMap((part) => grouped(index, part.rows, o))) };
  const offset = parts.length ? Math.min(...parts.map((part) => part.offset)) : 0;
  const rows = parts.flatMap((part) => part.rows);
  return { total_rows: sorted(index).length, offset: Math.min(offset + o.skip, offset + rows.length), rows: cut(rows) };
}

const lines = require('readline').createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const request = JSON.parse(line);
  let answer;
  try { answer = request.changed ? update(request) : ask(request); } catch (error) { answer = { failed: String(error) }; }
  process.stdout.write(JSON.stringify(answer) + '\n');
});
