# The shape of the crate, checked: `awk -f .ci/layers.awk src/*.rs src/*/*.rs`.
#
# Why: the lower layers can be tested against naive models, and the locks explored by loom, only as
# long as no clock, lock, task or HTTP type creeps into them. Reviews miss a single `use`.
#
# Comments, strings and tests do not count. Tests are files of the names below and whatever stands
# under `#[cfg(test)]`.

BEGIN {
    # A module imports from its own row and the rows above it. New modules go here.
    row("sync trace")                                     # base
    row("channel cursor event change config outcome random recent") # values
    row("slab names ring queue wake wheel history waiters") # pure
    row("shard")                                          # pure
    row("registry")                                       # locks
    row("driver turns")                                   # handles
    row("wait")
    row("hub")
    row("http")
    row("backplane client")
    row("")                                               # optional integrations
    row("guide")                                          # no code

    is_test_file = "/(tests|models|validate)(\\.rs$|/)"
    most_lines = 400
}

FNR == 1 {
    imports()
    begin_file()
}

{
    code = without_comments($0)
    only(word("unsafe") "[^A-Za-z0-9_]", "^$", "no `unsafe`")
}

file ~ is_test_file { next }

{
    code = without_tests(code)
    only(word("Mutex|RwLock") "|[.]lock\\(\\)", "^src/(registry|sync|backplane/(memory|redis))[./]",
        "only registry and sync lock")
    only(word("redis::|::redis"), "^src/backplane/redis[./]",
        "only the driver for Redis knows its client")
    only(word("tower_layer|matchit|hyper|axum|tonic"), "^src/http[./]", "only http serves HTTP")
    only(word("http_body|tower_service"), "^src/(http|client)[./]", "only http and client know HTTP")
    # Not the module `crate::http`, nor its re-exports in lib.rs.
    only("[^A-Za-z0-9_:]http::", "^src/((http|client)[./]|lib[.]rs)",
        "only http and client know HTTP")
    only(word("tokio"), "^src/((driver|turns|wait|hub|backplane)[./]|client/(stream|timer)[.]rs)",
        "only the handles, backplanes and the client's timer know tokio")
    only(word("Instant::now|SystemTime"),
        "^src/(driver|hub|backplane/(memory|nats/reader)|client/timer)[.]rs",
        "only driver, hub, logs and the client's timer read a clock")
    only(word("async_nats"), "^src/backplane/nats[./]", "only the log in NATS knows its client")
    if (code ~ /[^ ]/ && ++lines == most_lines + 1)
        complain(FNR, "more than " most_lines " lines of code: split the file")
    tokenize(code)
}

END {
    imports()
    exit failed
}

function row(names,   n, i, list) {
    rows++
    n = split(names, list, " ")
    for (i = 1; i <= n; i++)
        rank[list[i]] = rows
}

function begin_file(   n, parts) {
    file = FILENAME
    n = split(file, parts, "/")
    module = parts[2]
    sub(/\.rs$/, "", module)
    depth = n - 1 - (parts[n] == "mod.rs")   # of the file's module below the root
    closing = ""
    testing = lines = tokens = 0
    if (module != "lib" && !(module in rank))
        complain(1, "module `" module "` is in no layer: add it to a row of .ci/layers.awk")
}

function complain(line, rule) {
    print file ":" line ": " rule
    failed = 1
}

# Complains if the line matches and its file is none of the allowed.
function only(pattern, allowed, rule) {
    if (file !~ allowed && (" " code " ") ~ pattern)
        complain(FNR, rule)
}

# A pattern for words that begin with one of these.
function word(beginnings) {
    return "[^A-Za-z0-9_](" beginnings ")"
}

# The line without comments and without what strings and characters hold. `closing` is the end of a
# string or comment that began on an earlier line.
function without_comments(line,   out, start) {
    out = ""
    while (line != "") {
        if (closing == "\"") {
            out = out "\"\""
            if (!match(line, /^([^"\\]|\\.)*"/))
                return out
            line = substr(line, RLENGTH + 1)
            closing = ""
        } else if (closing != "") {
            if (!(start = index(line, closing)))
                return out
            line = substr(line, start + length(closing))
            closing = ""
        } else if (!match(line, /\/\/|\/\*|r#*"|"|'([^'\\]|\\.[^']*)'/)) {
            return out line
        } else {
            out = out substr(line, 1, RSTART - 1)
            start = substr(line, RSTART, RLENGTH)
            line = substr(line, RSTART + RLENGTH)
            if (start == "//")
                return out
            if (start == "/*")
                closing = "*/"
            else if (start ~ /^r/)
                closing = "\"" substr(start, 2, length(start) - 2)
            else if (start == "\"")
                closing = "\""
        }
    }
    return out
}

# The line without the items under `#[cfg(test)]`: each ends with its `;` or its last brace.
function without_tests(line,   i, c) {
    if (!testing && line ~ /#\[cfg\((test|all\(.*test)[,)]/ && line !~ /not\(test/) {
        testing = 1
        nesting = 0
    }
    if (!testing)
        return line
    for (i = 1; i <= length(line); i++) {
        c = substr(line, i, 1)
        nesting += (c ~ /[({[]/) - (c ~ /[])}]/)
        if (nesting < 0 || nesting == 0 && c ~ /[};]/) {
            testing = 0
            return substr(line, i + (nesting == 0))
        }
    }
    return ""
}

function tokenize(text) {
    while (match(text, /[A-Za-z0-9_]+|::|[^ ]/)) {
        token[++tokens] = substr(text, RSTART, RLENGTH)
        line_of[tokens] = FNR
        text = substr(text, RSTART + RLENGTH)
    }
}

# Looks at every path of the file that begins with `crate::` or `super::`.
function imports(   i, level, below, is_inline) {
    if (file == "src/lib.rs")
        tokens = 0   # It re-exports all layers.
    level = below = 0
    for (i = 1; i <= tokens; i++) {
        if (token[i] == "{") {
            is_inline[++level] = token[i - 2] == "mod"
            below += is_inline[level]
        } else if (token[i] == "}") {
            below -= is_inline[level--]
        } else if (token[i + 1] == "::" && token[i] == "crate") {
            path(i + 2, 0)
        } else if (token[i + 1] == "::" && token[i] == "super") {
            path(i + 2, depth + below - 1)
        }
    }
    tokens = 0
}

# Follows a path, or a group of them, on from token `i`, which stands `height` above the root.
function path(i, height,   level) {
    if (token[i] == "super") {
        path(i + 2, height - 1)
    } else if (token[i] == "{") {
        level = 0
        do {
            level += (token[i] == "{") - (token[i] == "}")
            if (level == 1 && token[i] ~ /[{,]/ && token[i + 1] != "}")
                path(i + 1, height)
        } while (level > 0 && ++i <= tokens)
    } else if (height <= 0) {
        import(token[i], line_of[i])
    }
}

function import(name, line) {
    if (!(name in rank))
        complain(line, "`crate::" name "` is in no layer: name the module that defines it," \
            " or add it to a row of .ci/layers.awk")
    else if (rank[name] > rank[module])
        complain(line, "`" module "` is below `" name "` and may not import it")
}
