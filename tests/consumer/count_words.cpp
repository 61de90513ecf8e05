// A program outside shoal's tree: counts the words of its arguments in a store, and says what it found.
#include <shoal/store.hpp>

#include <cstdio>
#include <string>

int main(int argc, char** argv) {
    shoal::Options options;
    options.memory_limit_bytes = 64 << 20;
    auto store = shoal::Store::in_memory(options);
    if (!store) {
        std::fprintf(stderr, "%s\n", store.error().message.c_str());
        return 1;
    }
    for (int i = 1; i < argc; ++i) {
        if (const auto appended = store->append(argv[i], "1"); !appended) {
            std::fprintf(stderr, "%s: %s\n", std::string(name(appended.error().code)).c_str(),
                         appended.error().message.c_str());
            return 1;
        }
    }
    for (int i = 1; i < argc; ++i) {
        const auto size = store->size(argv[i]);
        std::printf("%s %zu\n", argv[i], size ? static_cast<std::size_t>(size->records) : 0);
    }
    return store->get("missing").has_value() ? 1 : 0;
}
