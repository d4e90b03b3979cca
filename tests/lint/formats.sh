# JSON and SARIF, and names that are hard to write.

tree formats
printf 'static int one(void) { return 1; }\nint main(void) { return 0; }\n' >a.c
check json '{"schema": 1, "tool": "tierlint", "version": "0.1.0", "findings": [
  {"path": "a.c", "line": 1, "column": 12, "severity": "warning", "rule": "unused-static-function", "message": "static function '"'one'"' is never used"}
], "count": 1}
status 1' "$(lint --format=json .)"
lint --format=sarif . >sarif
check "sarif: version" "1" "$(grep -c '"version": "2.1.0"' sarif)"
check "sarif: result" "1" "$(grep -c '"ruleId": "unused-static-function", "ruleIndex": 8, "level": "warning"' sarif)"
check "sarif: place" "1" "$(grep -c '"uri": "a.c"}, "region": {"startLine": 1, "startColumn": 12}' sarif)"
check "sarif: rules" "15" "$(grep -c '"shortDescription"' sarif)"
printf 'int main(void) { return 0; }\n' >a.c
check "no finding is a document too" '{"schema": 1, "tool": "tierlint", "version": "0.1.0", "findings": [], "count": 0}
status 0' "$(lint --format json .)"

tree names
bad=$(printf 'a\377"b.c')
printf 'static int one(void) { return 1; }\nint main(void) { return 0; }\n' >"$bad"
check "a name that is not UTF-8 in JSON" '1' "$(lint --format=json . | grep -c '"path": "a.ufffd."b.c"')"
check "and in SARIF" '1' "$(lint --format=sarif . | grep -c '"uri": "a%FF%22b.c"')"
check "as it is in text" "$bad:1:12: warning: static function 'one' is never used [unused-static-function]
status 1" "$(lint .)"
