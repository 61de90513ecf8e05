// The parser of store.meta: the input as it is, and with the checksum that it should have.
#include <cstdlib>
#include <string>

#include <fmt/format.h>
#include <xxhash.h>

#include "store/metadata.hpp"

namespace {

void parse(const std::string& text) {
    const std::string path = "\n";  // begins no path in a text
    const auto metadata = shoal::parse_metadata(text, path);
    if (!metadata && metadata.error().message.empty()) std::abort();  // damaged and no words for it
    // What is read is what would be written, to the byte.
    if (metadata && text.starts_with("shoal store 2") && shoal::print_metadata(*metadata, path) != text)
        std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string text(reinterpret_cast<const char*>(data), size);
    parse(text);
    text = text.substr(0, text.rfind("xxh3 "));
    parse(text + fmt::format("xxh3 {:016x}\n", XXH3_64bits(text.data(), text.size())));
    return 0;
}
