# bash completion for shoal: subcommands, options, paths, and the keys of the store that is named.
#
# Needs nothing but bash 4.4. Options come from the subcommand's own --help, keys from `shoal keys`, 1000 at most.

# Sets words: the line up to the cursor, split as the shell would and without its quotes; the last one is the word
# to complete, typed its text with quotes. (COMP_WORDS will not do: it is also split at every colon.)
_shoal_split() { # LINE
    local line=$1 word="" quote="" started="" character i
    words=()
    typed=""
    for ((i = 0; i < ${#line}; ++i)); do
        character=${line:i:1}
        if [[ -z $quote && $character == [[:space:]] ]]; then
            [[ -n $started ]] && words+=("$word")
            word="" started="" typed=""
            continue
        fi
        started=yes
        typed+=$character
        if [[ $character == "\\" && $quote != "'" ]]; then
            ((++i))
            typed+=${line:i:1}
            word+=${line:i:1}
        elif [[ -n $quote && $character == "$quote" ]]; then
            quote=""
        elif [[ -z $quote && $character == [\"\'] ]]; then
            quote=$character
        else
            word+=$character
        fi
    done
    words+=("$word")
}

_shoal_takes_value() { # OPTION: the help shows a name for its value, one blank after it
    grep -qE -- "^ +([^ ]+,)?$1(,[^ ]+)? [^ ]" <<<"$help"
}

_shoal_add_paths() { # compgen's -d for folders, -f for all files
    type compopt &>/dev/null && compopt -o filenames 2>/dev/null
    local path
    while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen "$1" -- "${words[-1]}")
}

_shoal_add_words() { # WORDS
    local word
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$1" -- "${words[-1]}")
}

# Bash replaces only what comes after the last colon or equals sign, so only that part of a key is the reply.
_shoal_add_keys() { # STORE
    local key before=""
    [[ $typed =~ ^.*[:=] ]] && before=${BASH_REMATCH[0]}
    while IFS= read -r -d '' key; do
        [[ $key == *[[:cntrl:]]* ]] && continue # nobody types those
        [[ $typed == [\"\']* ]] || printf -v key '%q' "$key"
        COMPREPLY+=("${key#"$before"}")
    done < <("$program" keys -0 --prefix "${words[-1]}" -- "$1" 2>/dev/null | head -z -n 1000)
}

_shoal() {
    local words typed help program="" command="" only_operands="" previous="" operands=() word
    COMPREPLY=()
    _shoal_split "${COMP_LINE:0:COMP_POINT}"
    ((${#words[@]} > 1)) || return
    program=${words[0]}
    [[ $program == \~/* ]] && program=$HOME/${program#"~/"}
    for word in "${words[@]:1:${#words[@]}-2}"; do
        if [[ -z $command ]]; then
            [[ $word == -* ]] && continue
            command=$word
            help=$("$program" "$command" --help 2>/dev/null)
        elif [[ -z $only_operands && $previous == -* ]] && _shoal_takes_value "$previous"; then
            previous=""
            continue
        elif [[ -z $only_operands && $word == -- ]]; then
            only_operands=yes
        elif [[ -n $only_operands || $word != -?* ]]; then
            operands+=("$word")
        fi
        previous=$word
    done

    if [[ -z $command ]]; then
        _shoal_add_words "append get keys stat export import spill sync recover backup restore ps verify rm drop destroy gc shuffle --help --version"
        return
    fi
    if [[ -z $only_operands && $previous == -* ]] && _shoal_takes_value "$previous"; then
        case $previous in
        --arena-dir | --spill-dir | --out) _shoal_add_paths -d ;;
        --key-file) _shoal_add_paths -f ;;
        --codec) _shoal_add_words "none lz4 zstd blosc" ;;
        --on-bad-row) _shoal_add_words "fail skip" ;;
        esac
        return
    fi
    if [[ -z $only_operands && ${words[-1]} == -* ]]; then
        _shoal_add_words "$(sed -n '/^Options:/,/^$/p' <<<"$help" | grep -oE '^ +-[^ ]+' | tr ', ' '\n')"
        return
    fi
    case $command in
    shuffle) _shoal_add_paths -f ;;
    append | get | rm)
        if ((${#operands[@]} == 0)); then
            _shoal_add_paths -d
        elif [[ $command != append ]] || ((${#operands[@]} == 1)); then
            local store=${operands[0]}
            [[ $store == \~/* ]] && store=$HOME/${store#"~/"}
            _shoal_add_keys "$store"
        fi
        ;;
    export | import) if ((${#operands[@]} == 0)); then _shoal_add_paths -d; else _shoal_add_paths -f; fi ;;
    gc) _shoal_add_paths -d ;;
    backup) if ((${#operands[@]} == 0)); then _shoal_add_paths -d; else _shoal_add_paths -f; fi ;;
    restore) if ((${#operands[@]} == 0)); then _shoal_add_paths -f; else _shoal_add_paths -d; fi ;;
    keys | stat | spill | sync | recover | ps | verify | drop | destroy) ((${#operands[@]} == 0)) && _shoal_add_paths -d ;;
    esac
}

complete -F _shoal shoal
