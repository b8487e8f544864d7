(function_item) @def.function
(function_signature_item) @def.function
(let_declaration pattern: (identifier) value: (closure_expression)) @def.function
(static_item value: (closure_expression)) @def.function
(const_item value: (closure_expression)) @def.function
(struct_item) @def.struct
(enum_item) @def.enum
(union_item) @def.struct
(trait_item) @def.trait
(impl_item) @def.impl
(mod_item body: (_)) @def.module
(macro_definition) @def.macro
; Not those in types, which give a trait what it declares.
[(source_file (type_item) @def.type) (mod_item body: (declaration_list (type_item) @def.type)) (block (type_item) @def.type)]
(call_expression function: (identifier) @call)
(call_expression function: (field_expression field: (field_identifier) @call))
(call_expression function: (scoped_identifier name: (identifier) @call))
(call_expression function: (generic_function function: (identifier) @call))
(call_expression function: (generic_function function: (field_expression field: (field_identifier) @call)))
(call_expression function: (generic_function function: (scoped_identifier name: (identifier) @call)))
; The arguments of a macro are not parsed: a name before parentheses is a call.
(token_tree (identifier) @call . (token_tree "("))
(macro_invocation macro: (identifier) @call)
(use_declaration) @import.use
(extern_crate_declaration) @import.crate
(mod_item !body) @import.mod
(line_comment) @comment
(block_comment) @comment
[(binary_expression) (let_chain)] @binary
