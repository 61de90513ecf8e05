// Makes the golden stores of this build. A build whose version of any file differs from that in the newest folder
// tests/golden/N adds its own as N + 1, and a test fails until it does:
//
//   build/gcc/tests/golden/make_golden tests/golden/3
#include <cstdio>
#include <filesystem>
#include <string>

#include "golden_maker.hpp"

int main(int count, char** arguments) {
    namespace fs = std::filesystem;
    if (count != 2 || fs::exists(arguments[1])) {
        std::fprintf(stderr, "Usage: make_golden FOLDER, which is not there yet\n");
        return 2;
    }
    // Their paths are in what is made, so one that says nothing of the machine.
    const std::string made_in = "/tmp/shoal-golden-stores";
    fs::create_directory(made_in);
    const std::string what = shoal_golden::make_stores(made_in);
    if (what.empty()) fs::copy(made_in, arguments[1], fs::copy_options::recursive);
    fs::remove_all(made_in);
    if (!what.empty()) std::fprintf(stderr, "make_golden: %s\n", what.c_str());
    return what.empty() ? 0 : 1;
}
