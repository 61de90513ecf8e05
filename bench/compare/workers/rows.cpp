// Rows of CSV files but for each one's header: how many, and the sum of their hashes, which their order does not
// change.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

int main(int argc, char** argv) {
    std::uint64_t rows = 0;
    std::uint64_t sum = 0;
    for (int at = 1; at < argc; ++at) {
        std::ifstream file(argv[at], std::ios::binary);
        std::string row;
        std::getline(file, row);
        while (std::getline(file, row)) {
            ++rows;
            sum += std::hash<std::string_view>()(row);
        }
        if (file.bad() || (!file.eof() && file.fail())) {
            std::fprintf(stderr, "%s: cannot be read\n", argv[at]);
            return 1;
        }
    }
    std::printf("%llu %016llx\n", static_cast<unsigned long long>(rows), static_cast<unsigned long long>(sum));
}
