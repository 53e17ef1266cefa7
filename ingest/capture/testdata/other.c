/* A second file with a static function of the same name. */
__attribute__((noinline, used)) static int hidden(void) { return 5; }
int other(void) { return hidden(); }
