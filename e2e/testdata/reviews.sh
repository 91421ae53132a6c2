#!/bin/sh
# A shop's nightly job: it fetches every review, page by page, sends an event for an order, and prints a line for each.
set -eu

api=${ETRUSTED_API_URL:-https://api.etrusted.com}
token_url=${ETRUSTED_TOKEN_URL:-https://login.etrusted.com/oauth/token}

# send URL HEADER [BODY]
send() {
  case $LIBRARY in
  curl) curl --silent --show-error --fail --max-time 30 --header "$2" ${3:+--header "$type" --data "$3"} "$1" ;;
  wget) wget --quiet --output-document=- --timeout=30 --tries=1 --header="$2" ${3:+--header="$type" --post-data="$3"} "$1" ;;
  esac
}

# all NAME JSON: the values of a name, one a line. A shell has no JSON parser.
all() { printf '%s' "$2" | grep -o "\"$1\":\"[^\"]*\"" | cut -d '"' -f 4; }

type='Content-Type: application/x-www-form-urlencoded'
token=$(all access_token "$(send "$token_url" 'Accept: application/json' \
  "grant_type=client_credentials&client_id=$ETRUSTED_CLIENT_ID&client_secret=$ETRUSTED_CLIENT_SECRET&audience=https://api.etrusted.com")")

next="$api/reviews?count=100"
while [ -n "$next" ]; do
  page=$(send "$next" "Authorization: Bearer $token")
  all id "$page"
  next=$(all next "$page") || next=
done

type='Content-Type: application/json'
all id "$(send "$api/events" "Authorization: Bearer $token" "{\"type\":\"checkout\",\"transaction\":{\"reference\":\"$ORDER\"}}")"
