//! A device that interprets the assembly which NVRTC makes of the kernels: what a GPU would run, checked without one.
//!
//! Besides the results, it checks what NVIDIA's sanitizer checks on a GPU: that every access is aligned and inside a live
//! buffer, and that no two threads of a launch touch one byte of which at least one writes it.
//!
//! `WEIGHTPROOF_DEVICE=assembly cargo test -p weightproof-gpu-kernels --test device` takes this device in place of the
//! host's for every test; it needs libnvrtc.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use weightproof_gpu_kernels::device::cuda::{Output, compile};
use weightproof_gpu_kernels::device::runtime::{Buffer, Launch, Product, Runtime};
use weightproof_gpu_kernels::kernels::KernelError;

/// Threads of a block.
const BLOCK: u64 = 128;
/// Where the windows of local memory and of parameters start; buffers are below.
const LOCAL: u64 = 1 << 40;
const PARAMETERS: u64 = 1 << 41;
/// Bytes of a thread's local memory.
const STACK: usize = 1 << 14;
/// Threads and launches that an entry of the shadow tells apart.
const THREADS: u32 = 1 << 20;
const LAUNCHES: u32 = 1 << 12;

static MODULE: LazyLock<Module> = LazyLock::new(|| {
    let text = compile(90, Output::Assembly).unwrap_or_else(|error| panic!("{error}"));
    Module::parse(&String::from_utf8_lossy(&text))
});

/// A value that an instruction reads.
#[derive(Clone, Debug)]
enum Operand {
    Register(usize),
    Constant(u64),
    Thread,
    Block,
    Blocks,
}

#[derive(Clone, Debug)]
struct Instruction {
    text: String,
    /// The words of its name, such as `madc`, `hi`, `cc`, `u32`.
    name: Vec<String>,
    /// The register that lets it run, and whether by being false.
    guard: Option<(usize, bool)>,
    kind: Kind,
    bits: u32,
    signed: bool,
    out: Vec<usize>,
    read: Vec<Operand>,
    offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Return,
    Branch(usize),
    Load,
    Store,
    Atomic,
    StoreArgument(usize),
    Call(usize),
    Move,
    MultiplyAdd,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    ShiftLeft,
    ShiftRight,
    And,
    Or,
    Xor,
    Not,
    Negate,
    Absolute,
    Minimum,
    Maximum,
    Compare,
    Select,
    Convert,
    InsertBits,
}

#[derive(Debug, Default)]
struct Function {
    code: Vec<Instruction>,
    registers: usize,
    local: u64,
}

#[derive(Debug, Default)]
struct Module {
    functions: Vec<Function>,
    names: HashMap<String, usize>,
}

impl Module {
    fn parse(text: &str) -> Self {
        let mut module = Self::default();
        let lines: Vec<&str> =
            text.lines().map(|line| line.split("//").next().unwrap_or("").trim()).collect();
        // Names first: functions call each other.
        let name_of = |line: &str| {
            let name = line.strip_prefix(".visible .entry ").or(line.strip_prefix(".func "))?;
            Some(name.trim_end_matches('(').to_owned())
        };
        for name in lines.iter().filter_map(|line| name_of(line)) {
            let next = module.names.len();
            module.names.entry(name).or_insert(next);
        }
        module.functions.resize_with(module.names.len(), Function::default);
        let mut start = 0;
        while let Some(at) = lines[start..].iter().position(|line| name_of(line).is_some()) {
            let head = start + at;
            let Some(name) = name_of(lines[head]) else { break };
            let open =
                head + lines[head..].iter().position(|line| *line == "{" || line.ends_with(';')).unwrap_or(0);
            if lines[open] != "{" {
                start = open + 1;
                continue;
            }
            // Call sequences are nested once, inside lines of their own.
            let mut depth = 1;
            let mut end = open + 1;
            while depth > 0 {
                depth += i32::from(lines[end].starts_with('{')) - i32::from(lines[end].starts_with('}'));
                end += 1;
            }
            let body = &lines[open + 1..end - 1];
            module.functions[module.names[&name]] = module.function(&name, body);
            start = end;
        }
        module
    }

    fn function(&self, name: &str, body: &[&str]) -> Function {
        let mut function = Function::default();
        let mut registers: HashMap<String, usize> = HashMap::new();
        let mut labels: HashMap<String, usize> = HashMap::new();
        let mut branches: Vec<(usize, String)> = Vec::new();
        // A statement ends with a semicolon, a label with a colon.
        let joined =
            body.iter().map(|line| line.trim_matches(|c| c == '{' && line.len() == 1)).collect::<Vec<_>>();
        let mut statement = String::new();
        for line in joined {
            if let Some(label) = line.strip_suffix(':') {
                labels.insert(label.to_owned(), function.code.len());
                continue;
            }
            let line = if line == "}" || line == "{" { "" } else { line };
            statement.push_str(line);
            statement.push(' ');
            if !line.ends_with(';') {
                if statement.trim().is_empty() {
                    statement.clear();
                }
                continue;
            }
            let text = std::mem::take(&mut statement);
            let text = text.trim().trim_end_matches(';').trim_start_matches('{').trim().to_owned();
            if let Some(local) = text.strip_prefix(".local") {
                let size = local.split(['[', ']']).nth(1).and_then(|size| size.parse().ok());
                function.local = size.unwrap_or(0);
            } else if !text.starts_with('.') && !text.is_empty() {
                let instruction =
                    self.instruction(name, &text, &mut registers, &mut branches, function.code.len());
                function.code.push(instruction);
            }
        }
        for (at, label) in branches {
            function.code[at].kind = Kind::Branch(labels[&label]);
        }
        function.registers = registers.len();
        function
    }

    fn instruction(
        &self,
        function: &str,
        text: &str,
        registers: &mut HashMap<String, usize>,
        branches: &mut Vec<(usize, String)>,
        at: usize,
    ) -> Instruction {
        let mut register = |name: &str| {
            let next = registers.len();
            *registers.entry(name.to_owned()).or_insert(next)
        };
        let mut rest = text;
        let mut guard = None;
        if let Some(guarded) = rest.strip_prefix('@') {
            let (predicate, tail) = guarded.split_once(char::is_whitespace).unwrap_or((guarded, ""));
            guard = Some((register(predicate.trim_start_matches('!')), predicate.starts_with('!')));
            rest = tail.trim();
        }
        let (name, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let name: Vec<String> = name.split('.').map(str::to_owned).collect();
        let has = |word: &str| name.iter().any(|own| own == word);
        let kind_word = name[name.len() - 1].as_str();
        let width = kind_word.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(1);
        let mut operand = |word: &str| match word.trim() {
            "%tid.x" => Operand::Thread,
            "%ctaid.x" => Operand::Block,
            "%nctaid.x" => Operand::Blocks,
            "%ntid.x" => Operand::Constant(BLOCK),
            word if word.starts_with('%') => Operand::Register(register(word)),
            word if word.starts_with("0d") => {
                Operand::Constant(u64::from_str_radix(&word[2..], 16).unwrap_or_else(|_| panic!("{text}")))
            }
            word if word.starts_with("0x") => {
                Operand::Constant(u64::from_str_radix(&word[2..], 16).unwrap_or_else(|_| panic!("{text}")))
            }
            word if word.starts_with("__local_depot") => Operand::Constant(LOCAL),
            word if word.starts_with(function) => {
                let index: u64 = word.rsplit('_').next().and_then(|n| n.parse().ok()).unwrap_or(0);
                Operand::Constant(PARAMETERS + 8 * index)
            }
            word => {
                Operand::Constant(word.parse::<i128>().unwrap_or_else(|_| panic!("{text}: {word}")) as u64)
            }
        };
        let mut instruction = Instruction {
            text: text.to_owned(),
            guard,
            kind: Kind::Return,
            bits: width,
            signed: kind_word.starts_with('s'),
            out: Vec::new(),
            read: Vec::new(),
            offset: 0,
            name: name.clone(),
        };
        // Commas inside braces and brackets do not separate arguments.
        let mut list = vec![String::new()];
        let mut depth = 0;
        for c in arguments.chars() {
            depth += i32::from("{[(".contains(c)) - i32::from("}])".contains(c));
            if c == ',' && depth == 0 {
                list.push(String::new())
            } else if let Some(last) = list.last_mut() {
                last.push(c)
            }
        }
        let list: Vec<&str> = list.iter().map(|argument| argument.trim()).filter(|a| !a.is_empty()).collect();
        let group = |argument: &str| -> Vec<String> {
            argument.trim_matches(['{', '}']).split(',').map(|word| word.trim().to_owned()).collect()
        };
        match name[0].as_str() {
            "ret" => {}
            "bra" => {
                branches.push((at, list[0].to_owned()));
                instruction.kind = Kind::Branch(usize::MAX);
            }
            "call" => instruction.kind = Kind::Call(self.names[list[0]]),
            "st" if has("param") => {
                let index = list[0].trim_matches(['[', ']']).trim_start_matches("param").split('+').next();
                instruction.kind = Kind::StoreArgument(index.and_then(|i| i.parse().ok()).unwrap_or(0));
                instruction.read = vec![operand(list[1])];
            }
            "ld" | "st" | "atom" => {
                let (address, values) = match name[0].as_str() {
                    "st" => (list[0], list[1]),
                    _ => (list[1], list[0]),
                };
                let inner = address.trim_matches(['[', ']']);
                let (base, offset) = inner.split_once('+').unwrap_or((inner, "0"));
                instruction.offset = offset.trim().parse().unwrap_or_else(|_| panic!("{text}"));
                instruction.read = vec![operand(base)];
                if name[0] == "st" {
                    instruction.kind = Kind::Store;
                    instruction.read.extend(group(values).iter().map(|word| operand(word)));
                } else {
                    instruction.kind = if name[0] == "ld" { Kind::Load } else { Kind::Atomic };
                    instruction.read.extend(list[2..].iter().map(|word| operand(word)));
                    instruction.out = group(values).iter().map(|word| register(word)).collect();
                }
            }
            other => {
                instruction.kind = match other {
                    "mov" | "cvta" => Kind::Move,
                    "mad" | "madc" | "fma" => Kind::MultiplyAdd,
                    "add" | "addc" => Kind::Add,
                    "sub" | "subc" => Kind::Subtract,
                    "mul" => Kind::Multiply,
                    "div" => Kind::Divide,
                    "rem" => Kind::Remainder,
                    "shl" => Kind::ShiftLeft,
                    "shr" => Kind::ShiftRight,
                    "and" => Kind::And,
                    "or" => Kind::Or,
                    "xor" => Kind::Xor,
                    "not" => Kind::Not,
                    "neg" => Kind::Negate,
                    "abs" => Kind::Absolute,
                    "min" => Kind::Minimum,
                    "max" => Kind::Maximum,
                    "setp" => Kind::Compare,
                    "selp" => Kind::Select,
                    "cvt" => Kind::Convert,
                    "bfi" => Kind::InsertBits,
                    _ => panic!("an instruction that the interpreter does not know: {text}"),
                };
                // A move may take registers apart or put them together.
                instruction.read =
                    list[1..].iter().flat_map(|a| group(a)).map(|word| operand(&word)).collect();
                instruction.out = group(list[0]).iter().map(|word| register(word)).collect();
            }
        }
        instruction
    }
}

/// One buffer: its bytes, and who last wrote and read each of them.
struct Cells {
    bytes: Vec<u8>,
    writers: Vec<u32>,
    readers: Vec<u32>,
}

#[derive(Default)]
struct Memory {
    buffers: BTreeMap<u64, Cells>,
    next: u64,
    launch: u32,
}

impl Memory {
    fn cells(&mut self, address: u64, size: usize, what: &str) -> (&mut Cells, usize) {
        let Some((start, cells)) = self.buffers.range_mut(..=address).next_back() else {
            panic!("{what}: an access at {address:#x}, where there is no buffer")
        };
        let offset = (address - start) as usize;
        assert!(
            offset + size <= cells.bytes.len(),
            "{what}: {size} bytes at {offset} of {}",
            cells.bytes.len()
        );
        (cells, offset)
    }
}

/// The interpreting device.
#[derive(Clone, Default)]
pub struct Assembly {
    memory: Arc<Mutex<Memory>>,
}

pub struct AssemblyBuffer {
    memory: Arc<Mutex<Memory>>,
    address: u64,
    size: usize,
}

impl Buffer for AssemblyBuffer {
    fn size(&self) -> usize {
        self.size
    }
}

impl Drop for AssemblyBuffer {
    fn drop(&mut self) {
        lock(&self.memory).buffers.remove(&self.address);
    }
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread under way.
struct Thread<'a> {
    memory: &'a mut Memory,
    parameters: &'a [u8],
    stack: &'a mut [u8],
    number: u32,
    block: u64,
    blocks: u64,
    lane: u64,
}

impl Thread<'_> {
    fn tag(&self) -> u32 {
        self.memory.launch * THREADS + self.number
    }

    fn load(&mut self, address: u64, size: usize, total: usize, what: &str) -> u64 {
        assert!(address.is_multiple_of(total as u64), "{what}: {total} bytes at {address:#x}");
        let tag = self.tag();
        let mut word = [0; 8];
        if address >= PARAMETERS {
            let start = (address - PARAMETERS) as usize;
            word[..size].copy_from_slice(&self.parameters[start..start + size]);
        } else if address >= LOCAL {
            let start = (address - LOCAL) as usize;
            word[..size].copy_from_slice(&self.stack[start..start + size]);
        } else {
            let (cells, offset) = self.memory.cells(address, size, what);
            for i in offset..offset + size {
                let writer = cells.writers[i];
                assert!(
                    writer == tag || writer / THREADS != tag / THREADS,
                    "{what}: reads what another thread writes"
                );
                // The last number stands for several readers.
                let reader = &mut cells.readers[i];
                *reader = if *reader / THREADS == tag / THREADS && *reader != tag {
                    tag | (THREADS - 1)
                } else {
                    tag
                };
            }
            word[..size].copy_from_slice(&cells.bytes[offset..offset + size]);
        }
        u64::from_le_bytes(word)
    }

    fn store(&mut self, address: u64, size: usize, total: usize, value: u64, what: &str) {
        assert!(address.is_multiple_of(total as u64), "{what}: {total} bytes at {address:#x}");
        let tag = self.tag();
        let word = value.to_le_bytes();
        assert!(address < PARAMETERS, "{what}: parameters are read-only");
        if address >= LOCAL {
            let start = (address - LOCAL) as usize;
            self.stack[start..start + size].copy_from_slice(&word[..size]);
            return;
        }
        let (cells, offset) = self.memory.cells(address, size, what);
        for i in offset..offset + size {
            for other in [cells.writers[i], cells.readers[i]] {
                assert!(
                    other == tag || other / THREADS != tag / THREADS,
                    "{what}: writes what another thread uses"
                );
            }
            cells.writers[i] = tag;
        }
        cells.bytes[offset..offset + size].copy_from_slice(&word[..size]);
    }

    /// Runs a function whose local memory starts at `frame`.
    fn run(&mut self, function: usize, frame: u64, arguments: Option<&[u64]>) {
        let Function { code, registers, local } = &MODULE.functions[function];
        let mut values = vec![0u64; *registers];
        let mut next_arguments = [0u64; 8];
        let mut carry = 0u64;
        let mut at = 0;
        while let Some(instruction) = code.get(at) {
            at += 1;
            let Instruction { text, name, guard, kind, bits, signed, out, read, offset } = instruction;
            if guard.is_some_and(|(register, negated)| (values[register] == 0) != negated) {
                continue;
            }
            let raw = |index: usize| match read[index] {
                Operand::Register(register) => values[register],
                Operand::Constant(value) => value,
                Operand::Thread => self.lane,
                Operand::Block => self.block,
                Operand::Blocks => self.blocks,
            };
            let mask = if *bits == 64 { u64::MAX } else { (1u64 << bits) - 1 };
            let value = |index: usize| raw(index) & mask;
            let extend = |value: u64, bits: u32| ((value << (64 - bits)) as i64) >> (64 - bits);
            let number = |index: usize| {
                if *signed { i128::from(extend(value(index), *bits)) } else { i128::from(value(index)) }
            };
            let float = |index: usize| f64::from_bits(raw(index));
            let is = |word: &str| name.iter().any(|own| own == word);
            let is_float = name.last().is_some_and(|last| last == "f64");
            let size = (*bits / 8) as usize;
            let result: u64 = match kind {
                Kind::Return => return,
                Kind::Branch(target) => {
                    at = *target;
                    continue;
                }
                Kind::StoreArgument(index) => {
                    next_arguments[*index] = raw(0);
                    continue;
                }
                Kind::Call(callee) => {
                    let frame = (frame + local).next_multiple_of(16);
                    self.run(*callee, frame, Some(&next_arguments));
                    continue;
                }
                Kind::Load => {
                    let address = raw(0).wrapping_add(*offset as u64);
                    let total = size * out.len();
                    for (i, register) in out.iter().enumerate() {
                        let loaded = match arguments {
                            Some(arguments) if address >= PARAMETERS => {
                                arguments[((address - PARAMETERS) / 8) as usize]
                            }
                            _ if i == 0 => self.load(address, size, total, text),
                            _ => self.load(address + (i * size) as u64, size, size, text),
                        };
                        values[*register] = if *signed { extend(loaded, *bits) as u64 } else { loaded };
                    }
                    continue;
                }
                Kind::Store => {
                    let address = raw(0).wrapping_add(*offset as u64);
                    let stored: Vec<u64> = (1..read.len()).map(raw).collect();
                    for (i, value) in stored.iter().enumerate() {
                        let total = if i == 0 { size * stored.len() } else { size };
                        self.store(address + (i * size) as u64, size, total, *value, text);
                    }
                    continue;
                }
                Kind::Atomic => {
                    assert!(is("or"), "{text}");
                    let (address, added) = (raw(0).wrapping_add(*offset as u64), value(1));
                    let (cells, start) = self.memory.cells(address, size, text);
                    cells.bytes[start] |= added as u8;
                    continue;
                }
                Kind::Move if name[0] == "cvta" => raw(0),
                Kind::Move if out.len() == 2 => {
                    let whole = value(0);
                    values[out[1]] = whole >> (bits / 2);
                    whole & (mask >> (bits / 2))
                }
                Kind::Move if read.len() == 2 => (raw(0) & (mask >> (bits / 2))) | (raw(1) << (bits / 2)),
                Kind::Move => match (&read[0], name.last()) {
                    // A function's own local memory.
                    (Operand::Constant(LOCAL), Some(_)) => LOCAL + frame,
                    _ if is("pred") => raw(0),
                    _ => value(0),
                },
                Kind::MultiplyAdd if is_float => float(0).mul_add(float(1), float(2)).to_bits(),
                Kind::MultiplyAdd if is("wide") => (number(0) * number(1)) as u64 + raw(2),
                Kind::MultiplyAdd => {
                    let product = number(0) * number(1);
                    let half = if is("hi") { (product >> bits) as u64 } else { product as u64 } & mask;
                    let sum = u128::from(half)
                        + u128::from(value(2))
                        + u128::from(if name[0] == "madc" { carry } else { 0 });
                    if is("cc") {
                        carry = (sum >> bits) as u64;
                    }
                    sum as u64
                }
                Kind::Add if is_float => (float(0) + float(1)).to_bits(),
                Kind::Add => {
                    let carried = if name[0] == "addc" { carry } else { 0 };
                    let sum = u128::from(value(0)) + u128::from(value(1)) + u128::from(carried);
                    if is("cc") {
                        carry = (sum >> bits) as u64;
                    }
                    sum as u64
                }
                Kind::Subtract if is_float => (float(0) - float(1)).to_bits(),
                Kind::Subtract => {
                    let borrowed = if name[0] == "subc" { carry } else { 0 };
                    let difference = i128::from(value(0)) - i128::from(value(1)) - i128::from(borrowed);
                    if is("cc") {
                        carry = u64::from(difference < 0);
                    }
                    difference as u64
                }
                Kind::Multiply if is_float => (float(0) * float(1)).to_bits(),
                Kind::Multiply if is("wide") => (number(0) * number(1)) as u64,
                Kind::Multiply if is("hi") => ((number(0) * number(1)) >> bits) as u64,
                Kind::Multiply => value(0).wrapping_mul(value(1)),
                Kind::Divide => (number(0) / number(1)) as u64,
                Kind::Remainder => (number(0) % number(1)) as u64,
                Kind::ShiftLeft => value(0).checked_shl(raw(1) as u32).unwrap_or(0),
                Kind::ShiftRight => (number(0) >> (raw(1) as u32).min(*bits)) as u64,
                Kind::And => raw(0) & raw(1),
                Kind::Or => raw(0) | raw(1),
                Kind::Xor => raw(0) ^ raw(1),
                Kind::Not if is("pred") => u64::from(raw(0) == 0),
                Kind::Not => !raw(0),
                Kind::Negate if is_float => (-float(0)).to_bits(),
                Kind::Negate => value(0).wrapping_neg(),
                Kind::Absolute if is_float => float(0).abs().to_bits(),
                Kind::Absolute => extend(value(0), *bits).unsigned_abs(),
                Kind::Minimum if is_float => float(0).min(float(1)).to_bits(),
                Kind::Maximum if is_float => float(0).max(float(1)).to_bits(),
                Kind::Minimum => number(0).min(number(1)) as u64,
                Kind::Maximum => number(0).max(number(1)) as u64,
                Kind::Compare => {
                    let order = if is_float {
                        float(0).partial_cmp(&float(1))
                    } else {
                        Some(number(0).cmp(&number(1)))
                    };
                    u64::from(match name[1].as_str() {
                        "eq" => order.is_some_and(|o| o.is_eq()),
                        "ne" => order.is_some_and(|o| o.is_ne()),
                        "lt" | "lo" => order.is_some_and(|o| o.is_lt()),
                        "le" | "ls" => order.is_some_and(|o| o.is_le()),
                        "gt" | "hi" => order.is_some_and(|o| o.is_gt()),
                        "ge" | "hs" => order.is_some_and(|o| o.is_ge()),
                        // True also where one is not a number.
                        "geu" => order.is_none_or(|o| o.is_ge()),
                        "leu" => order.is_none_or(|o| o.is_le()),
                        "gtu" => order.is_none_or(|o| o.is_gt()),
                        "ltu" => order.is_none_or(|o| o.is_lt()),
                        "neu" => order.is_none_or(|o| o.is_ne()),
                        _ => panic!("{text}"),
                    })
                }
                Kind::Select => {
                    if raw(2) != 0 {
                        raw(0)
                    } else {
                        raw(1)
                    }
                }
                Kind::Convert => {
                    let to = &name[name.len() - 2];
                    let target: u32 = to[1..].parse().unwrap_or_else(|_| panic!("{text}"));
                    match (to.starts_with('f'), is_float) {
                        (true, false) => (number(0) as f64).to_bits(),
                        (false, true) => (float(0) as i64) as u64,
                        (false, false) if target < 64 => number(0) as u64 & ((1 << target) - 1),
                        (false, false) => number(0) as u64,
                        (true, true) => raw(0),
                    }
                }
                Kind::InsertBits => {
                    let (position, length) = (raw(2) as u32, raw(3) as u32);
                    let field = if length >= 64 { u64::MAX } else { (1 << length) - 1 } << position;
                    (raw(1) & !field) | ((raw(0) << position) & field)
                }
            };
            // Registers hold what their type holds; products of double width, and conversions, are as they came.
            let whole = is("wide") || matches!(kind, Kind::Convert | Kind::Compare) || is("pred") || is_float;
            values[out[0]] = if whole || *bits == 1 { result } else { result & mask };
        }
    }
}

impl Runtime for Assembly {
    type Buffer = AssemblyBuffer;

    fn name(&self) -> String {
        "assembly".into()
    }

    fn allocate(&self, size: usize) -> Result<AssemblyBuffer, KernelError> {
        let mut memory = lock(&self.memory);
        // A gap after each buffer, so that what runs over its end meets nothing.
        let address = memory.next.max(1 << 20);
        memory.next = address + size.next_multiple_of(256) as u64 + 4096;
        let cells = Cells { bytes: vec![0; size], writers: vec![0; size], readers: vec![0; size] };
        memory.buffers.insert(address, cells);
        Ok(AssemblyBuffer { memory: self.memory.clone(), address, size })
    }

    fn write(&self, buffer: &mut AssemblyBuffer, bytes: &[u8]) -> Result<(), KernelError> {
        let mut memory = lock(&self.memory);
        let (cells, offset) = memory.cells(buffer.address, bytes.len(), "write");
        cells.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&self, buffer: &AssemblyBuffer, offset: usize, bytes: &mut [u8]) -> Result<(), KernelError> {
        let mut memory = lock(&self.memory);
        let (cells, offset) = memory.cells(buffer.address + offset as u64, bytes.len(), "read");
        bytes.copy_from_slice(&cells.bytes[offset..offset + bytes.len()]);
        Ok(())
    }

    fn launch(&self, launch: &Launch<'_, AssemblyBuffer>) -> Result<(), KernelError> {
        let mut memory = lock(&self.memory);
        memory.launch += 1;
        if memory.launch == LAUNCHES {
            memory.launch = 1;
            for cells in memory.buffers.values_mut() {
                cells.writers.fill(0);
                cells.readers.fill(0);
            }
        }
        let parameters: Vec<u8> =
            launch.parameters(|buffer| buffer.address).iter().flat_map(|word| word.to_le_bytes()).collect();
        let function = MODULE.names[launch.kernel()];
        // Fewer blocks than work at times, so that loops over the grid are run too.
        let blocks = (launch.thread_count() as u64).div_ceil(BLOCK).min(256);
        let mut stack = vec![0; STACK];
        for block in 0..blocks {
            for lane in 0..BLOCK {
                let number = (block * BLOCK + lane) as u32;
                let (memory, parameters) = (&mut *memory, &parameters[..]);
                Thread { memory, parameters, stack: &mut stack, number, block, blocks, lane }
                    .run(function, 0, None);
            }
        }
        Ok(())
    }

    fn multiply(&self, product: &Product<'_, AssemblyBuffer>) -> Result<(), KernelError> {
        let (rows, inner, columns) = product.sizes();
        let (alpha, beta) = product.scales();
        let mut memory = lock(&self.memory);
        let mut entries = |buffer: &AssemblyBuffer, count: usize| -> Vec<f64> {
            let (cells, offset) = memory.cells(buffer.address, 8 * count, "multiply");
            let bytes = cells.bytes[offset..offset + 8 * count].chunks_exact(8);
            bytes.map(|word| f64::from_le_bytes(word.try_into().unwrap_or_default())).collect()
        };
        let (left, right) = (product.left(), product.right());
        let (a, b) = (entries(left.buffer, rows * inner), entries(right.buffer, inner * columns));
        let mut out = entries(product.out(), rows * columns);
        for (index, out) in out.iter_mut().enumerate() {
            let (row, column) = (index / columns, index % columns);
            let sum: f64 = (0..inner)
                .map(|i| {
                    let a = a[if left.transposed { i * rows + row } else { row * inner + i }];
                    a * b[if right.transposed { column * inner + i } else { i * columns + column }]
                })
                .sum();
            *out = alpha * sum + if beta == 0.0 { 0.0 } else { beta * *out };
        }
        let bytes: Vec<u8> = out.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (cells, offset) = memory.cells(product.out().address, bytes.len(), "multiply");
        cells.bytes[offset..offset + bytes.len()].copy_from_slice(&bytes);
        Ok(())
    }
}
