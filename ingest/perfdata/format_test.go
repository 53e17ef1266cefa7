package perfdata

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const manyFormat = `name: many
ID: 7
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:char comm[16];	offset:8;	size:16;	signed:0;
	field:__data_loc char[] name;	offset:24;	size:4;	signed:0;
	field:__rel_loc char[] more;	offset:28;	size:4;	signed:0;
	field:const void * ptr;	offset:32;	size:8;	signed:0;
	field:char small;	offset:40;	size:1;	signed:1;
	field:s16 half;	offset:42;	size:2;	signed:1;
	field:long whole;	offset:44;	size:8;	signed:1;
	field:unsigned int plain;	offset:52;	size:4;

print fmt: "field:bad"
`

func TestParseFormat(t *testing.T) {
	got, err := ParseFormat("sys", manyFormat)
	if err != nil {
		t.Fatal(err)
	}
	want := &Format{System: "sys", Name: "many", ID: 7, Fields: []Field{
		{Name: "common_type", Type: "unsigned short", Size: 2},
		{Name: "common_pid", Type: "int", Offset: 4, Size: 4, Signed: true},
		{Name: "comm", Type: "char", Offset: 8, Size: 16, Array: true},
		{Name: "name", Type: "__data_loc char[]", Offset: 24, Size: 4, Dynamic: true},
		{Name: "more", Type: "__rel_loc char[]", Offset: 28, Size: 4, Dynamic: true},
		{Name: "ptr", Type: "const void *", Offset: 32, Size: 8},
		{Name: "small", Type: "char", Offset: 40, Size: 1, Signed: true},
		{Name: "half", Type: "s16", Offset: 42, Size: 2, Signed: true},
		{Name: "whole", Type: "long", Offset: 44, Size: 8, Signed: true},
		{Name: "plain", Type: "unsigned int", Offset: 52, Size: 4},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n", diff)
	}
	if got.Field("absent") != nil {
		t.Error("a field that is not there")
	}
}

// Values come out of raw data by the format, and none out of too little.
func TestFieldValues(t *testing.T) {
	f, err := ParseFormat("sys", manyFormat)
	if err != nil {
		t.Fatal(err)
	}
	raw := pack(uint16(7), uint16(0), int32(-2), []byte("comm\x00rest of it."), uint32(5<<16|56), uint32(4<<16|29), uint64(0xdead), int8(-3), uint8(0), int16(-4),
		int64(-5), uint32(6), []byte("text\x00tail"))
	numbers := map[string]int64{"common_type": 7, "common_pid": -2, "ptr": 0xdead, "small": -3, "half": -4, "whole": -5, "plain": 6}
	texts := map[string]string{"comm": "comm", "name": "text", "more": "tail"}
	for i := range f.Fields {
		field := &f.Fields[i]
		n, isNumber := field.Uint(raw)
		if want, ok := numbers[field.Name]; ok != isNumber || int64(n) != want {
			t.Errorf("%s is %d, %v; want %d, %v", field.Name, int64(n), isNumber, want, ok)
		}
		if want, ok := texts[field.Name]; ok {
			if got, ok := field.Text(raw); !ok || got != want {
				t.Errorf("%s is %q, %v; want %q", field.Name, got, ok, want)
			}
		}
		for n := range field.Offset + field.Size {
			if _, ok := field.Uint(raw[:n]); ok {
				t.Errorf("%s has a number in %d bytes", field.Name, n)
			}
			if _, ok := field.Text(raw[:n]); ok {
				t.Errorf("%s has a text in %d bytes", field.Name, n)
			}
		}
	}
	if s, ok := f.Field("name").Text(raw[:58]); ok {
		t.Errorf("text beyond the data: %q", s)
	}
}

func TestBadFormats(t *testing.T) {
	line := func(s string) string { return strings.Replace(manyFormat, "offset:8;", s, 1) }
	bad := map[string]string{
		"empty": "", "no fields": "name: x\nID: 1\n", "bad id": strings.Replace(manyFormat, "ID: 7", "ID: x", 1),
		"negative": line("offset:-8;"), "no number": line("offset:x;"), "huge": line("offset:99999999;"),
		"nameless": strings.Replace(manyFormat, "char comm[16]", "", 1),
		"too many": strings.Replace(manyFormat, "\nprint", strings.Repeat("\tfield:int x;\toffset:0;\tsize:4;\tsigned:1;\n", formatFieldsMax)+"\nprint", 1),
	}
	for name, text := range bad {
		if f, err := ParseFormat("sys", text); err == nil || f != nil {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
}
