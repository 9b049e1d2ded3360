// libnvrtc: CUDA C++ becomes C++ with device.h, which g++ compiles. What CubeCL 0.11 writes is understood, and no more.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <regex>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace {
using std::string;
using Words = std::vector<string>;

struct Program {
    string source, log, library;
};

string variable(const char *name, const string &otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

// The end of what a bracket opened before `start`, outside of quotes.
size_t closing(const string &text, size_t start) {
    int depth = 1;
    bool quoted = false;
    for (size_t i = start; i < text.size(); i++) {
        if (text[i] == '\\') i++;
        else if (text[i] == '"') quoted = !quoted;
        else if (!quoted && text[i] == '(') depth++;
        else if (!quoted && text[i] == ')' && !--depth) return i;
    }
    return text.size();
}

// An asm statement: its text, and the expressions of outputs and inputs.
struct Assembly {
    string text;
    Words outputs, inputs;
};

Assembly parsed(const string &inside) {
    Assembly found;
    size_t end = inside.find('"', 1);
    found.text = inside.substr(1, end - 1);
    Words *lists[] = {&found.outputs, &found.inputs};
    int list = -1;
    for (size_t i = end + 1; i < inside.size(); i++) {
        if (inside[i] == ':') list++;
        if (inside[i] != '(' || list > 1) continue;
        size_t close = closing(inside, i + 1);
        lists[list]->push_back(inside.substr(i + 1, close - i - 1));
        i = close;
    }
    return found;
}

bool has(const string &text, const char *part) { return text.find(part) != string::npos; }

string joined(const Words &words, size_t first, size_t count, const string &cast) {
    string list;
    for (size_t i = 0; i < count; i++) list += (i ? ", " : "") + cast + "(" + words[first + i] + ")";
    return list;
}

string assigned(const Words &outputs, const string &array) {
    string all;
    for (size_t i = 0; i < outputs.size(); i++) all += outputs[i] + " = " + array + "[" + std::to_string(i) + "]; ";
    return all;
}

// The statement in C++; empty if it is not known.
string translated(const Assembly &of) {
    const auto &[text, outputs, inputs] = of;
    if (has(text, "mma.sync") && (has(text, "m16n8k16") || has(text, "m16n8k8"))) {
        bool is_tf32 = has(text, "tf32");
        string cast = is_tf32 ? "as_bits" : "(uint32_t)";
        return "{ Multiplication<" + string(is_tf32 ? "8" : "16") + "> m{{" + joined(inputs, 0, 4, cast) + "}, {" +
               joined(inputs, 4, 2, cast) + "}, {" + joined(inputs, 6, 4, "") + "}, {}}; multiply_add(m); " +
               assigned(outputs, "m.found") + "}";
    }
    if (has(text, "ldmatrix") || has(text, "stmatrix")) {
        bool stores = has(text, "stmatrix");
        size_t count = stores ? inputs.size() - 1 : outputs.size();
        string registers = stores ? joined(inputs, 1, count, "(uint32_t)") : "";
        return "{ Matrices m{shared_pointer(" + inputs[0] + "), {" + registers + "}}; move_matrices<" + std::to_string(count) +
               ", " + (has(text, ".trans") ? "true" : "false") + ", " + (stores ? "true" : "false") + ">(m); " +
               (stores ? "" : assigned(outputs, "m.registers")) + "}";
    }
    if (has(text, "cp.async.commit_group")) return "emulator->commit_group();";
    if (has(text, "cp.async.wait_group ")) {
        std::smatch number;
        std::regex_search(text, number, std::regex(R"(wait_group (\d+))"));
        return "emulator->wait_group(" + number[1].str() + ");";
    }
    if (has(text, "cp.async.cg") && has(text, ", 16")) {
        string length = inputs.size() > 2 ? inputs[2] : "16";
        return "copy_async(" + inputs[0] + ", (const void *)(" + inputs[1] + "), " + length + ");";
    }
    if (has(text, "atom.relaxed.add.f32"))
        return outputs[0] + " = *(float *)(" + inputs[0] + "); *(float *)(" + inputs[0] + ") += " + inputs[1] + ";";
    if (has(text, "max.NaN.f32")) return outputs[0] + " = max_nan(" + inputs[0] + ", " + inputs[1] + ");";
    if (has(text, "min.NaN.f32")) return outputs[0] + " = min_nan(" + inputs[0] + ", " + inputs[1] + ");";
    if (has(text, "tanh.approx.f32")) return outputs[0] + " = tanhf(" + inputs[0] + ");";
    return "";
}

// Replaces every asm statement; what is not known goes to the log.
string without_assembly(const string &source, string &log) {
    static const std::regex start(R"(asm (volatile)?\()");
    string out, rest = source;
    for (std::smatch match; std::regex_search(rest, match, start);) {
        size_t inside = match.position() + match.length(), end = closing(rest, inside);
        Assembly statement = parsed(rest.substr(inside, end - inside));
        string replacement = translated(statement);
        if (replacement.empty()) log += "the emulator does not know: " + statement.text + "\n";
        out += match.prefix().str() + replacement;
        rest = rest.substr(end + 2);
    }
    return out + rest;
}

string as_cpp(const string &source, string &log) {
    string text = std::regex_replace(source, std::regex(R"(#include <[^>]*>|typedef [a-z ]+ u?int\d+_t;)"), "");
    std::regex shared(R"(extern __shared__ __align__\(\d+\) char (\w+)\[\];)");
    text = without_assembly(std::regex_replace(text, shared, "char *$1 = emulator->shared;"), log);
    // A kernel's arguments come as a list of pointers to them.
    string entries;
    std::regex kernel(
        R"(extern "C" __global__ void __launch_bounds__\([^)]*\)\s*(?:__cluster_dims__\([^)]*\)\s*)?(\w+)\()");
    for (std::sregex_iterator i(text.begin(), text.end(), kernel), end; i != end; ++i) {
        string name = (*i)[1];
        entries += "extern \"C\" void " + name + "_with(void **list) { call(" + name + ", list); }\n";
    }
    return "#include \"device.h\"\nextern \"C\" { Emulator *emulator; }\n"
           "template <class... A, size_t... I> void call_(void (*f)(A...), void **list, std::index_sequence<I...>) {\n"
           "    f(*(std::remove_const_t<A> *)list[I]...);\n}\n"
           "template <class... A> void call(void (*f)(A...), void **list) {\n"
           "    call_(f, list, std::index_sequence_for<A...>());\n}\n" +
           text + "\n" + entries;
}

string contents(const string &path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}
} // namespace

extern "C" {
int nvrtcVersion(int *major, int *minor) { return *major = 13, *minor = 0, 0; }
const char *nvrtcGetErrorString(int) { return "an error of the emulator"; }

int nvrtcCreateProgram(Program **program, const char *source, const char *, int, const char *const *, const char *const *) {
    return *program = new Program{source, "", ""}, 0;
}

int nvrtcDestroyProgram(Program **program) { return delete *program, 0; }

int nvrtcCompileProgram(Program *program, int, const char *const *) {
    const int COMPILATION = 6;
    string folder = variable("CUDA_EMULATOR_CACHE", "/tmp/cuda-emulator");
    mkdir(folder.c_str(), 0755);
    string path = folder + "/" + std::to_string(std::hash<string>()(program->source));
    program->library = path + ".so";
    if (!access(program->library.c_str(), R_OK)) return 0;
    string text = as_cpp(program->source, program->log);
    std::ofstream(path + ".cpp") << text;
    string made = path + "-" + std::to_string(getpid()) + ".so";
    string command = "g++ -std=c++20 -O1 -w -fpermissive -shared -fPIC -I'" + variable("CUDA_EMULATOR", ".") + "' -o '" + made +
                     "' '" + path + ".cpp' 2> '" + path + ".log'";
    if (program->log.empty() && system(command.c_str())) program->log = contents(path + ".log");
    if (!program->log.empty()) {
        std::cerr << "emulator: " << path << ".cpp: " << program->log.substr(0, 2000) << "\n";
        return COMPILATION;
    }
    return rename(made.c_str(), program->library.c_str()) ? COMPILATION : 0;
}

int nvrtcGetProgramLogSize(Program *program, size_t *size) { return *size = program->log.size() + 1, 0; }
int nvrtcGetProgramLog(Program *program, char *log) { return strcpy(log, program->log.c_str()), 0; }
int nvrtcGetPTXSize(Program *program, size_t *size) { return *size = program->library.size() + 1, 0; }
int nvrtcGetPTX(Program *program, char *ptx) { return strcpy(ptx, program->library.c_str()), 0; }
}
