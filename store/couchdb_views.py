"""The design documents of upstream's databases (openwhisk-controller.md 2.2, 3.6): what lists and logins ask.

Ids and rows are upstream's, so that both can use one database; the functions are this project's own. The JavaScript is of
the oldest kind, which every version of CouchDB runs. A design document that is there already is left as it is.
"""

from __future__ import annotations

from typing import Any

Design = dict[str, Any]

_SUMMARY = """
    var value = {namespace: doc.namespace, name: doc.name, version: doc.version, publish: doc.publish,
                 annotations: doc.annotations, updated: doc.updated};"""

_WITH_ROOT = """
    emit([doc.namespace, doc.updated], value);
    var root = doc.namespace.split('/')[0];
    if (root !== doc.namespace) { emit([root, doc.updated], value); }"""

_ACTIONS = f"""function (doc) {{
  if (doc.exec !== undefined) {{{_SUMMARY}
    value.limits = doc.limits;
    value.exec = {{binary: doc.exec.binary === true}};{_WITH_ROOT}
  }}
}}"""

_PACKAGES = f"""function (doc) {{
  if (doc.binding !== undefined) {{{_SUMMARY}
    value.binding = Object.keys(doc.binding).length > 0 ? doc.binding : false;
    emit([doc.namespace, doc.updated], value);
  }}
}}"""

_PUBLIC = f"""function (doc) {{
  if (doc.publish === true && doc.binding !== undefined && Object.keys(doc.binding).length === 0) {{{_SUMMARY}
    value.binding = false;
    emit([doc.namespace, doc.updated], value);
  }}
}}"""

_TRIGGERS = f"""function (doc) {{
  if (doc.exec === undefined && doc.binding === undefined && doc.parameters !== undefined) {{{_SUMMARY}{_WITH_ROOT}
  }}
}}"""

_RULES = f"""function (doc) {{
  if (doc.trigger !== undefined) {{
    var value = 1;{_WITH_ROOT}
  }}
}}"""

_RECORD = """
    var value = {namespace: doc.namespace, name: doc.name, version: doc.version, publish: doc.publish,
                 annotations: doc.annotations, activationId: doc.activationId, start: doc.start, cause: doc.cause};
    if (doc.end !== 0) {
      value.end = doc.end;
      value.duration = doc.end - doc.start;
      if (doc.response) { value.statusCode = doc.response.statusCode; }
    }"""

_RECORDS = f"""function (doc) {{
  if (doc.activationId !== undefined) {{{_RECORD}
    emit([doc.namespace, doc.start], value);
  }}
}}"""

_FILTERED = f"""function (doc) {{
  if (doc.activationId !== undefined) {{{_RECORD}
    var found = {{}};
    (doc.annotations || []).forEach(function (pair) {{ found[pair.key] = pair.value; }});
    var name = doc.name;
    if (typeof found.binding === 'string' && found.binding !== '') {{
      var binding = found.binding.split('/');
      if (binding.length > 1) {{ name = binding[1] + '/' + doc.name; }}
    }} else if (typeof found.path === 'string') {{
      var path = found.path.split('/');
      if (path.length === 3) {{ name = path[1] + '/' + doc.name; }}
    }}
    emit([doc.namespace + '/' + name, doc.start], value);
  }}
}}"""

_BY_DATE = """function (doc) {
  if (doc.activationId !== undefined) { emit(doc.start, [doc._id, doc._rev]); }
}"""

_BY_DATE_WITH_LOGS = """function (doc) {
  if (doc.activationId !== undefined && doc.logs && doc.logs.length > 0) {
    var sequence = (doc.annotations || []).some(function (pair) { return pair.key === 'kind' && pair.value === 'sequence'; });
    if (!sequence) { emit(doc.start, doc._id); }
  }
}"""

_IDENTITIES = """function (doc) {
  if (Array.isArray(doc.namespaces) && doc.blocked !== true) {
    doc.namespaces.forEach(function (namespace) {
      var value = {_id: namespace.name + '/limits', namespace: namespace.name, uuid: namespace.uuid, key: namespace.key};
      emit([namespace.name], value);
      emit([namespace.uuid, namespace.key], value);
    });
  }
}"""

_BLOCKED = """function (doc) {
  if (doc._id.slice(-7) === '/limits') {
    if (doc.concurrentInvocations === 0 || doc.invocationsPerMinute === 0) { emit(doc._id.slice(0, -7), 1); }
  } else if (doc.blocked === true && Array.isArray(doc.namespaces)) {
    doc.namespaces.forEach(function (namespace) { emit(namespace.name, 1); });
  }
}"""

_SNAPSHOT = "function (doc, request) { return !doc._deleted && doc._id.slice(0, 8) !== '_design/'; }"


def _design(**views: str) -> Design:
    counted = {name.replace("_", "-"): {"map": source, "reduce": "_count"} for name, source in views.items()}
    return {"language": "javascript", "views": counted}


def _plain(**views: str) -> Design:
    return {"language": "javascript", "views": {name: {"map": source} for name, source in views.items()}}


ENTITIES = "whisks.v2.1.0"
RECORDS = "whisks.v2.1.0"
FILTERED = "whisks-filters.v2.1.1"
IDENTITIES = "subjects.v2.0.0"
SNAPSHOT: Design = {"language": "javascript", "filters": {"snapshotFilters": _SNAPSHOT}}

DATABASES: dict[str, dict[str, Design]] = {
    "subjects": {
        IDENTITIES: _plain(identities=_IDENTITIES),
        "namespaceThrottlings": {
            "language": "javascript", "views": {"blockedNamespaces": {"map": _BLOCKED, "reduce": "_sum"}},
        },
        "snapshotFilters": SNAPSHOT,
    },
    "whisks": {
        ENTITIES: _design(actions=_ACTIONS, packages=_PACKAGES, packages_public=_PUBLIC, triggers=_TRIGGERS, rules=_RULES),
        "snapshotFilters": SNAPSHOT,
    },
    "activations": {
        RECORDS: _design(activations=_RECORDS),
        FILTERED: _design(activations=_FILTERED),
        "activations": _plain(byDate=_BY_DATE),
        "logCleanup": _plain(byDateWithLogs=_BY_DATE_WITH_LOGS),
        "snapshotFilters": SNAPSHOT,
    },
    "journal": {},
}  # fmt: skip
"""Database → its design documents by name."""
