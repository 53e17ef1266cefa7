package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// The program completes its own commands and flags when it is called with
// --generate-bash-completion; these scripts ask it to.
const bashCompletion = `_replay() {
  local cur words
  cur="${COMP_WORDS[COMP_CWORD]}"
  words=$("${COMP_WORDS[@]:0:$COMP_CWORD}" ${cur:+"$cur"} --generate-bash-completion 2>/dev/null)
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o bashdefault -o default -F _replay replay
`

const zshCompletion = `#compdef replay
_replay() {
  local -a words
  words=("${(@f)$("${words[@]:0:$#words[@]-1}" --generate-bash-completion 2>/dev/null)}")
  _describe 'values' words || _files
}
compdef _replay replay
`

func completionCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print the completion script of a shell", ArgsUsage: "bash|zsh",
		Description: "Example:\n\n   source <(replay completion bash)",
		Flags:       commonFlags(),
		Action: func(c *cli.Context) error {
			shell, err := one(c, "shell")
			if err != nil {
				return err
			}
			switch shell {
			case "bash":
				_, err = fmt.Fprint(e.stdout, bashCompletion)
			case "zsh":
				_, err = fmt.Fprint(e.stdout, zshCompletion)
			default:
				err = usage("completion: no script for %q: want bash or zsh", shell)
			}
			return err
		},
	}
}
