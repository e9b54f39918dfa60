# What the scripts of the action have in common: reading inputs, and saying what is wrong. Sourced.
#
# Inputs come by the environment and are data: nothing in them is expanded, and what is shown of
# them cannot be a command to GitHub's runner.

# An error, on one line, that GitHub shows at the top of the run.
error() {
    local text=$1
    text=${text//'%'/%25}
    text=${text//$'\r'/%0D}
    text=${text//$'\n'/%0A}
    # Anywhere in a line the runner obeys what begins like this.
    text=${text//'##'/'# #'}
    printf '::error title=portlid::%s\n' "$text" >&2
}

# CODE MESSAGE: says it and ends.
die() {
    error "$2"
    exit "$1"
}

# Each line of $1 without the white space around it; none that is empty.
lines() {
    local line
    while read -r line || [ -n "$line" ]; do
        line=${line%"${line##*[![:space:]]}"}
        if [ -n "$line" ]; then printf '%s\n' "$line"; fi
    done <<<"$1"
}

# The inputs as arguments of `portlid test`: `images` for in front, `paths` and `more` for behind.
# Shellcheck does not see who uses them.
# shellcheck disable=SC2034
read_inputs() {
    local line
    images=() paths=() more=()
    while read -r line; do images+=("--image=$line"); done < <(lines "${INPUT_IMAGES-}")
    while read -r line; do
        # What looks like a flag is a file all the same.
        if [[ $line == -* ]]; then line=./$line; fi
        paths+=("$line")
    done < <(lines "${INPUT_SPECS-}")
    # An empty value is most likely a variable that nobody set: the default would hide that.
    if [ ${#paths[@]} = 0 ]; then die 2 'the input `specs` is empty: name a file or folder of specs'; fi
    # Words, without any quoting: nothing here is for a shell.
    local words
    while read -r line; do
        read -ra words <<<"$line"
        more+=("${words[@]}")
    done < <(lines "${INPUT_ARGS-}")
}
