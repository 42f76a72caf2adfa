"""The checks of the tree, checked: each rule with a text that keeps it and one that breaks it."""
import unittest

from check import file_findings
from functions import functions_of


def findings(path, text):
    return [what for _, what in file_findings(path, text, "/depot/")]


class Arrows(unittest.TestCase):
    def test_down_is_allowed(self):
        self.assertEqual([], findings("daemon/a.cc", '#include "sandbox/engine.h"\n#include "base/result.h"\n'))

    def test_up_is_not(self):
        self.assertEqual(1, len(findings("base/a.cc", '#include "config/config.h"\n')))
        self.assertEqual(1, len(findings("hub/a.cc", '#include "daemon/supervisor.h"\n')))

    def test_siblings_meet_at_interfaces_only(self):
        self.assertEqual([], findings("hub/a.cc", '#include "net/http_client.h"\n'))
        self.assertEqual(1, len(findings("hub/a.cc", '#include "net/curl_handle.h"\n')))
        self.assertEqual(1, len(findings("tmux/a.cc", '#include "net/http_client.h"\n')))

    def test_watchdog_knows_the_standard_library_alone(self):
        self.assertEqual([], findings("watchdog/a.cc", '#include <vector>\n#include "base/ids.h"\n'))
        self.assertEqual(2, len(findings("watchdog/a.cc", '#include <unistd.h>\n#include "base/task.h"\n')))

    def test_tests_may_include_what_they_test(self):
        self.assertEqual([], findings("tests/base/a_test.cc", '#include "hub/store.h"\n'))


class Lines(unittest.TestCase):
    def test_long_file(self):
        self.assertEqual([], findings("base/a.cc", "int x;\n" * 700))
        self.assertEqual(1, len(findings("base/a.cc", "int x;\n" * 701)))

    def test_words_and_paths(self):
        self.assertEqual(1, len(findings("base/a.cc", "// TO" "DO: later\n")))
        self.assertEqual(1, len(findings("docs/a.md", "see /depot/main/x\n")))
        self.assertEqual([], findings("docs/a.md", "the folder build/depot/x\n"))
        self.assertEqual(1, len(findings("scripts/a", "https://registry." "npmjs" ".org/x\n")))

    def test_heavy_headers_and_pragma(self):
        self.assertEqual(1, len(findings("net/a.h", "#pragma once\n#include <boost/beast/core.hpp>\n")))
        self.assertEqual([], findings("net/a.cc", "#include <boost/beast/core.hpp>\n"))
        self.assertEqual(1, len(findings("net/a.h", "int x;\n")))

    def test_sleep_and_using_namespace(self):
        self.assertEqual(2, len(findings("tests/a_test.cc", "using namespace std;\nstd::this_thread::sleep_for(1s);\n")))

    def test_coroutines_are_started_in_one_way(self):
        for by_hand in ("co_spawn(io, run(), asio::detached);\n", "[](std::exception_ptr) {}\n"):
            self.assertEqual(1, len(findings("hub/a.cc", by_hand)))
            self.assertEqual([], findings("tests/hub/a_test.cc", by_hand))
            self.assertEqual([], findings("base/spawn_logged.h", "#pragma once\n" + by_hand))


class Functions(unittest.TestCase):
    def names(self, text):
        return [(f.name, f.lines) for f in functions_of(text)]

    def test_free_function_and_its_length(self):
        self.assertEqual([("f", 4)], self.names("int f(int a,\n      int b) {\n  if (a) { return b; }\n}\n"))

    def test_members_namespaces_and_labels(self):
        text = "namespace a {\nclass B : public C {\n public:\n  int f() const { return 1; }\n  ~B() {\n  }\n};\n}\n"
        self.assertEqual([("f", 1), ("~B", 2)], self.names(text))

    def test_constructor_with_braced_members(self):
        self.assertEqual([("B::B", 3)], self.names("B::B(int a) : a_{a}, b_(1), c_{2} {\n  go();\n}\n"))

    def test_tables_and_enums_are_no_functions(self):
        text = "constexpr std::array table = {\n Row{1, {2}},\n Row{3},\n};\nenum class E {\n a,\n};\nstruct S {\n int x{0};\n};\n"
        self.assertEqual([], self.names(text))

    def test_text_that_looks_like_braces(self):
        text = 'void f() {\n  auto a = R"({{{)";  // }}}\n  char c = \'{\';\n  log("}}");\n}\n#define X(a) { a\nvoid g() {}\n'
        self.assertEqual([("f", 5), ("g", 1)], self.names(text))

    def test_default_argument_braces_templates_trailing_return(self):
        text = "template <class T>\nauto f(T a = {}) -> Result<T> {\n}\nTEST(A, B) {\n  auto l = [] {};\n}\n"
        self.assertEqual([("f", 3), ("TEST", 3)], self.names(text))

    def test_digit_separator_is_no_literal(self):
        self.assertEqual([("f", 1), ("g", 1)], self.names("int f() { return 1'000; }\nint g() { return 2'000; }\n"))

    def test_long_function_is_found(self):
        body = "  x();\n" * 80
        self.assertEqual(1, len(findings("base/a.cc", "void f() {\n" + body + "}\n")))


if __name__ == "__main__":
    unittest.main()
