(function_declaration) @def.function
(init_declaration) @def.function
(deinit_declaration) @def.function
(protocol_function_declaration) @def.function
(computed_property (statements)) @def.method
(computed_getter (statements)) @def.method
(computed_setter) @def.method
(computed_modify) @def.method
(willset_clause) @def.method
(didset_clause) @def.method
(property_declaration value: (lambda_literal)) @def.function
(class_declaration declaration_kind: ["class" "actor" "extension"]) @def.class
(class_declaration declaration_kind: "struct") @def.struct
(class_declaration declaration_kind: "enum") @def.enum
(protocol_declaration) @def.interface
(typealias_declaration) @def.type
(call_expression (simple_identifier) @call (call_suffix . [(value_arguments . "(") (lambda_literal)]))
(call_expression (navigation_expression (navigation_suffix (simple_identifier) @call))
  (call_suffix . [(value_arguments . "(") (lambda_literal)]))
(import_declaration) @import.import
(comment) @comment
(multiline_comment) @comment
[(conjunction_expression) (disjunction_expression)] @binary
