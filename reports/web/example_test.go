package web_test

import (
	"fmt"

	"github.com/replay/replay/reports/web"
)

// An address is checked before the work is done.
func ExampleCheckAddr() {
	fmt.Println(web.CheckAddr(":8080"))
	fmt.Println(web.CheckAddr("127.0.0.1:http"))
	// Output:
	// <nil>
	// port "http"; want 0 to 65535
}
