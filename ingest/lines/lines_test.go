package lines

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 4000)
	for _, test := range []struct {
		text string
		want []string // a line that is too long is ""
		cut  bool
	}{
		{"", nil, false},
		{"a\nb\n", []string{"a", "b"}, false},
		{"a\r\n\nb", []string{"a", "", "b"}, true},
		{long + "\nb\n", []string{"", "b"}, false},
		{"a\n" + long, []string{"a", ""}, true},
	} {
		r := New(bufio.NewReaderSize(strings.NewReader(test.text), 256), "x.txt")
		var got []string
		for {
			line, err := r.Next()
			if err == io.EOF {
				break
			}
			var bad *Error
			if errors.As(err, &bad) {
				if bad.Line != int64(len(got)+1) || bad.File != "x.txt" || !errors.Is(err, ErrLine) {
					t.Errorf("%.20q: %v", test.text, err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(line))
		}
		if strings.Join(got, "|") != strings.Join(test.want, "|") || len(got) != len(test.want) {
			t.Errorf("%.20q: lines %q, want %q", test.text, got, test.want)
		}
		if r.Cut() != test.cut || r.Position() != int64(len(test.text)) {
			t.Errorf("%.20q: cut %v at %d, want %v at %d", test.text, r.Cut(), r.Position(), test.cut, len(test.text))
		}
	}
}
