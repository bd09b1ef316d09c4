"""Holds the bodies on the standard input against the schema of CDS Hooks 2.0: a JSON list of [kind, body]."""
import json
import sys

import jsonschema_rs

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
for kind, body in json.load(sys.stdin):
    validator = jsonschema_rs.Draft202012Validator({**schema, "$ref": f"#/$defs/{kind}"})
    for error in validator.iter_errors(body):
        path = "/".join(str(part) for part in error.instance_path)
        print(f"{kind}: {path}: {error.message[:200]}")
