// The dashboard: the node's status stream and the OpenWhisk API, shown. Whatever comes from the node is put in as text, never as HTML.
const $ = (id) => document.getElementById(id);
const STAGES = ["queue", "create", "start", "ready", "init", "run", "commit"];
const STATES = ["busy", "starting", "idle", "paused", "prewarm", "removing"];
const STATUS = ["ok", "application error", "developer error", "internal error"];
const STARTERS = {
  python: 'def main(args):\n    return {"greeting": "Hello, " + args.get("name", "world") + "!"}\n',
  nodejs: 'function main(args) {\n  return { greeting: `Hello, ${args.name || "world"}!` }\n}\n',
};
const SECONDS = 60;
let status = {};
let stream = null;
let watched = null;

function make(tag, { text, kind, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function milliseconds(value) {
  return value < 1000 ? `${Math.round(value)} ms` : value < 60000 ? `${(value / 1000).toFixed(1)} s` : `${(value / 60000).toFixed(1)} min`;
}

const took = (row) => Object.values(row.stages || {}).reduce((sum, each) => sum + each, 0);

// With credentials "omit" the browser asks nobody for a password when the node answers 401: the page does.

// The API --------------------------------------------------------------------------------------------------------------

function credentials(admin) {
  const key = sessionStorage.getItem("key") || "";
  const secret = sessionStorage.getItem("admin") || "";
  return admin && secret ? `Bearer ${secret}` : `Basic ${btoa(unescape(encodeURIComponent(key)))}`;
}

async function ask(method, path, body) {
  const answer = await fetch(`/api/v1/namespaces/_/${path}`, {
    method, credentials: "omit", body: body === undefined ? undefined : JSON.stringify(body),
    headers: { Authorization: credentials(false), ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
  });
  const text = await answer.text();
  let value = text;
  try { value = JSON.parse(text); } catch { /* an answer that isn't JSON is shown as it is */ }
  return { status: answer.status, good: answer.ok, value, error: value?.error ?? text };
}

const encoded = (name) => name.split("/").map(encodeURIComponent).join("/");

// The status stream ----------------------------------------------------------------------------------------------------

async function follow() {
  const mine = (stream = new AbortController());
  while (stream === mine) {
    try {
      await read(mine);
      show({ ...status, ready: false, reason: "the stream ended" });
    } catch (error) {
      if (stream !== mine) return;
      show({ ...status, ready: false, reason: "no answer from the node" });
    }
    await new Promise((resume) => setTimeout(resume, 1000));
  }
}

async function read(mine) {
  const answer = await fetch("/admin/status", {
    headers: { Authorization: credentials(true), Accept: "text/event-stream" }, credentials: "omit", signal: mine.signal,
  });
  if (answer.status === 401 || answer.status === 403) return leave("The node does not know this key.");
  if (!answer.ok) throw new Error(answer.status);
  await events(answer, () => stream === mine, (name, document) => show(document));
}

async function events(answer, wanted, take) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done || !wanted()) return;
    const found = (rest + value).split("\n\n");
    rest = found.pop();
    for (const event of found) {
      const lines = event.split("\n");
      const data = lines.find((line) => line.startsWith("data: "));
      const name = lines.find((line) => line.startsWith("event: "));
      if (data) take(name?.slice(7), JSON.parse(data.slice(6)));
    }
  }
}

// Showing --------------------------------------------------------------------------------------------------------------

function show(next) {
  status = next;
  $("node").textContent = status.node ? `${status.node}, epoch ${status.epoch ?? "-"}` : "";
  const state = status.ended ? "ended" : status.draining ? "draining" : status.ready ? "ready" : `not ready: ${status.reason || "starting"}`;
  $("state").textContent = state;
  $("state").className = `pill ${status.ready ? "good" : "bad"}`;
  if ($("paused").checked) return;
  showUnfinished();
  showLatest();
  showRates();
  showPool();
}

function waterfall(row, longest) {
  const bar = make("span", { kind: "waterfall", title: Object.entries(row.stages || {}).map(([name, ms]) => `${name} ${milliseconds(ms)}`).join(", ") });
  for (const [name, ms] of Object.entries(row.stages || {})) {
    const part = make("i", { kind: STAGES.includes(name) ? name : "queue" });
    part.style.width = `${(ms / longest) * 100}%`;
    bar.append(part);
  }
  return bar;
}

function showLatest() {
  const wanted = $("filter").value.toLowerCase();
  const rows = (status.latest || []).filter((row) =>
    (!$("failed").checked || row.status_code) && `${row.action} ${row.id}`.toLowerCase().includes(wanted));
  const longest = Math.max(1, ...rows.map(took));
  $("no-latest").hidden = rows.length > 0;
  $("latest").replaceChildren(...rows.map((row) => {
    const button = make("button", { type: "button", kind: "row" },
      make("time", { text: new Date(row.end).toLocaleTimeString() }),
      make("span", { text: row.action }),
      make("span", { text: STATUS[row.status_code] ?? `status ${row.status_code}`, kind: row.status_code ? "bad" : "good" }),
      make("span", { text: milliseconds(took(row)) }),
      waterfall(row, longest));
    button.addEventListener("click", () => open(row));
    return make("li", {}, button);
  }));
}

function showUnfinished() {
  $("unfinished").replaceChildren(...(status.unfinished || []).map((row) => {
    const button = make("button", { type: "button", kind: "row" },
      make("time", { text: new Date(row.since).toLocaleTimeString() }), make("span", { text: row.id }),
      make("span", { text: row.state }), make("span", { text: row.attempt ? `attempt ${row.attempt}` : "" }));
    button.addEventListener("click", () => watch(row));
    return make("li", {}, button);
  }));
}

function showRates() {
  const seconds = new Map((status.seconds || []).map((each) => [each.at, each]));
  const last = Math.max(0, ...seconds.keys());
  const line = Array.from({ length: SECONDS }, (_, n) => seconds.get(last - SECONDS + 1 + n));
  const top = Math.max(1, ...line.map((each) => each?.ended ?? 0));
  const space = "http://www.w3.org/2000/svg";
  $("rates").replaceChildren(...line.flatMap((each, n) => {
    if (!each) return [];
    const bar = document.createElementNS(space, "rect");
    const height = (each.ended / top) * 56;
    for (const [name, value] of Object.entries({ x: n * 10, width: 9, y: 60 - height, height, fill: each.failed ? "var(--bad)" : "var(--run)" }))
      bar.setAttribute(name, value);
    return [bar];
  }));
  $("rates").toggleAttribute("hidden", !status.seconds);
  const newest = status.seconds?.at(-1);
  $("rate-text").textContent = newest ? `last second with work: ${newest.ended} ended, p50 ${milliseconds(newest.p50)}, p99 ${milliseconds(newest.p99)}` : "";
}

function showPool() {
  const { memory, containers = [] } = status;
  $("pool-hint").textContent = memory ? "" : "The containers are shown to the operator: sign in with the admin key.";
  if (!memory) return $("memory-map").replaceChildren();
  $("memory-text").textContent = `${memory.used} of ${memory.total} MB in ${containers.length} containers`;
  const order = (each) => STATES.indexOf(each.state);
  $("memory-map").replaceChildren(...[...containers].sort((a, b) => order(a) - order(b)).map((each) => {
    const what = `${each.cid}: ${each.state}, ${each.kind}, ${each.memory} MB${each.key ? `, ${each.key[0]}` : ""}`;
    const box = make("i", { kind: STATES.includes(each.state) ? each.state : "prewarm", title: what, text: each.cid });
    box.style.width = `${(each.memory / memory.total) * 100}%`;
    return box;
  }));
  const counts = STATES.map((state) => [state, containers.filter((each) => each.state === state).length]).filter(([, count]) => count);
  $("pool-legend").replaceChildren(...counts.map(([state, count]) => make("li", {}, make("i", { kind: state }), `${state} ${count}`)));
  $("parts").replaceChildren(...Object.entries(status.parts || {}).map(([name, problem]) =>
    make("li", { kind: problem ? "bad" : "good", text: problem ? `${name}: ${problem}` : `${name} ok` })));
  const queues = Array.isArray(status.queued) ? status.queued : [];
  $("queues").replaceChildren(...(queues.length ? queues.map((each) =>
    make("li", { text: `${each.action} (${each.namespace}): ${each.waiting}, ${each.why}` })) : [make("li", { text: "nothing waits" })]));
}

// Live logs of what runs, then the record.
async function watch(row) {
  $("opened-id").textContent = row.id;
  $("opened-what").textContent = `${row.state} since ${new Date(row.since).toLocaleTimeString()}`;
  $("opened-stages").replaceChildren();
  $("opened-result").textContent = $("opened-logs").textContent = "";
  $("opened").showModal();
  watched?.abort();
  const mine = (watched = new AbortController());
  try {
    const answer = await fetch(`/api/v1/namespaces/_/activations/${row.id}/logs`, {
      headers: { Authorization: credentials(false), Accept: "text/event-stream" }, credentials: "omit", signal: mine.signal,
    });
    if (answer.ok) await events(answer, () => watched === mine, (name, text) => {
      if (name === "line") $("opened-logs").textContent += `${text}\n`;
      else $("opened-what").textContent = text.status;
    });
    if (watched === mine) await showRecord(row.id);
  } catch (error) {
    if (watched === mine) $("opened-what").textContent = "no answer from the node";
  }
}

async function open(row) {
  watched?.abort();
  watched = null;
  $("opened-id").textContent = row.id;
  $("opened-what").textContent = `${row.action}, ${STATUS[row.status_code] ?? row.status_code}, ${row.start || "no"} start, ${row.attempts} attempt(s)`;
  const total = Math.max(1, took(row));
  let passed = 0;
  $("opened-stages").replaceChildren(...Object.entries(row.stages || {}).map(([name, ms]) => {
    const bar = make("i", { kind: STAGES.includes(name) ? name : "queue" });
    bar.style.marginLeft = `${(passed / total) * 100}%`;
    bar.style.width = `${(ms / total) * 100}%`;
    passed += ms;
    return make("div", { kind: "stage" }, make("span", { text: name }), make("span", { text: milliseconds(ms) }), make("span", {}, bar));
  }));
  $("opened-result").textContent = $("opened-logs").textContent = "";
  $("opened").showModal();
  await showRecord(row.id);
}

async function showRecord(id) {
  const { good, value, error } = await ask("GET", `activations/${id}`);
  $("opened-result").textContent = good ? JSON.stringify(value.response.result, null, 2) : `${error}`;
  $("opened-logs").textContent = good ? value.logs.join("\n") : "";
}

// Actions --------------------------------------------------------------------------------------------------------------

async function showActions() {
  const { good, value, error } = await ask("GET", "actions?limit=200");
  if (!good) return ($("play-state").textContent = `${error}`);
  $("action-list").replaceChildren(...value.map((action) => {
    const inside = action.namespace.split("/")[1];
    const name = inside ? `${inside}/${action.name}` : action.name;
    const kind = action.annotations.find((each) => each.key === "exec")?.value ?? "";
    const button = make("button", { type: "button", kind: "row" }, make("span", { text: name }), make("span", { text: kind }));
    button.addEventListener("click", () => edit(name));
    return make("li", {}, button);
  }));
}

async function showKinds() {
  const answer = await fetch("/");
  const runtimes = (await answer.json()).runtimes || {};
  const kinds = Object.values(runtimes).flat().filter((each) => !each.deprecated);
  $("action-kind").replaceChildren(...kinds.map((each) => make("option", { text: each.kind, value: each.kind })));
  $("action-kind").value = kinds.find((each) => each.default && each.kind.startsWith("python"))?.kind ?? kinds[0]?.kind ?? "";
  starter();
}

function starter() {
  $("code").value = STARTERS[$("action-kind").value.split(":")[0]] ?? "";
}

async function edit(name) {
  const { good, value, error } = await ask("GET", `actions/${encoded(name)}`);
  if (!good) return ($("play-state").textContent = `${error}`);
  $("action-name").value = name;
  if (![...$("action-kind").options].some((each) => each.value === value.exec.kind))
    $("action-kind").append(make("option", { text: value.exec.kind, value: value.exec.kind }));
  $("action-kind").value = value.exec.kind;
  const readable = typeof value.exec.code === "string" && !value.exec.binary;
  $("code").value = readable ? value.exec.code : "";
  $("code").disabled = $("save").disabled = $("run").disabled = !readable;
  $("play-state").textContent = readable ? "" : "This action is an archive, a sequence or an image: it can be invoked here, not edited.";
  $("play-result").textContent = $("play-logs").textContent = "";
}

async function save() {
  const name = $("action-name").value;
  const exec = { kind: $("action-kind").value, code: $("code").value };
  const { good, value, error } = await ask("PUT", `actions/${encoded(name)}?overwrite=true`, { exec });
  $("play-state").className = good ? "good" : "error";
  $("play-state").textContent = good ? `saved ${name} ${value.version}` : `${error}`;
  if (good) await showActions();
  return good;
}

async function invoke() {
  let body;
  try { body = JSON.parse($("arguments").value || "{}"); } catch (error) {
    $("play-state").className = "error";
    return ($("play-state").textContent = `The arguments are no JSON: ${error.message}`);
  }
  $("play-state").className = "";
  $("play-state").textContent = "running";
  $("play-result").textContent = $("play-logs").textContent = "";
  const { status: code, value, error } = await ask("POST", `actions/${encoded($("action-name").value)}?blocking=true`, body);
  const ended = value?.response !== undefined;
  const good = ended && value.response.success;
  $("play-state").className = good ? "good" : "error";
  $("play-state").textContent = ended ? `${value.response.status} after ${milliseconds(value.duration ?? 0)}, activation ${value.activationId}`
    : code === 202 ? `still running, activation ${value.activationId}` : `${error}`;
  if (!ended) return;
  $("play-result").textContent = JSON.stringify(value.response.result, null, 2);
  await showLogs(value.activationId);
}

async function showLogs(id) {
  for (let tries = 0; tries < 20; tries += 1) {
    const { good, value } = await ask("GET", `activations/${id}/logs`);
    if (good) return ($("play-logs").textContent = value.logs.join("\n"));
    await new Promise((resume) => setTimeout(resume, 100));
  }
}

// Signing in, tabs -----------------------------------------------------------------------------------------------------

function tab(name) {
  for (const section of ["activations", "actions", "pool"]) $(section).hidden = section !== name;
  $("sign-in").hidden = name !== "";
  for (const button of document.querySelectorAll("nav [data-tab]")) button.toggleAttribute("aria-current", button.dataset.tab === name);
  if (name === "actions") showActions();
}

async function enter() {
  const { status: code, error } = await ask("GET", "limits");
  if (code === 401 || code === 403) return leave(`${error}`);
  $("sign-in-error").textContent = "";
  tab("activations");
  showKinds();
  follow();
}

function leave(why = "") {
  sessionStorage.clear();
  stream?.abort();
  stream = null;
  status = {};
  $("latest").replaceChildren();
  $("state").textContent = "signed out";
  $("state").className = "pill";
  $("sign-in-error").textContent = why;
  tab("");
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", $("key").value.trim());
  sessionStorage.setItem("admin", $("admin").value.trim());
  enter();
});
$("opened").addEventListener("close", () => { watched?.abort(); watched = null; });
$("leave").addEventListener("click", () => leave());
for (const button of document.querySelectorAll("nav [data-tab]"))
  button.addEventListener("click", () => sessionStorage.getItem("key") && tab(button.dataset.tab));
for (const id of ["filter", "failed", "paused"]) $(id).addEventListener("input", () => show(status));
$("action-kind").addEventListener("change", () => Object.values(STARTERS).includes($("code").value) && starter());
$("new-action").addEventListener("click", () => { $("playground").reset(); $("code").disabled = $("save").disabled = $("run").disabled = false; starter(); });
$("save").addEventListener("click", () => $("playground").reportValidity() && save());
$("invoke").addEventListener("click", () => $("playground").reportValidity() && invoke());
$("playground").addEventListener("submit", async (event) => { event.preventDefault(); if (await save()) await invoke(); });
$("legend").replaceChildren(...STAGES.map((name) => make("li", {}, make("i", { kind: name }), name)));
if (sessionStorage.getItem("key")) enter(); else tab("");
