// Functions whose names in the source are not those of their symbols.
#define keep __attribute__((noinline, used))

namespace ns {
struct A {
	keep int f(int i) { return i; }
	keep int over(int i) { return i; }
	keep int over(long i) { return i; }
	template <class T> keep T g(T i) { return i; }
	keep bool operator<(const A &) const { return true; }
	keep ~A() { }
};
}

int main()
{
	ns::A a;
	return a.f(1) + a.over(1) + a.over(1L) + a.g(1) + (a < a);
}
