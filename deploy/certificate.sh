#!/bin/sh
# A certificate of its own for trying out the compose file; put a real one into tls/ for anything else.
set -eu
cd "$(dirname "$0")"
mkdir -p tls
openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj "/CN=${1:-localhost}" \
  -addext "subjectAltName=DNS:${1:-localhost},IP:127.0.0.1" -keyout tls/tls.key -out tls/tls.crt
chmod 600 tls/tls.key
