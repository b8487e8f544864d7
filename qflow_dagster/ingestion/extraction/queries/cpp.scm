(field_declaration declarator: (function_declarator) default_value: (_)) @def.method
(init_declarator declarator: (identifier) value: (lambda_expression)) @def.function
(class_specifier name: (_) body: (_)) @def.class
(namespace_definition) @def.module
(call_expression function: (qualified_identifier name: (identifier) @call))
(call_expression function: (template_function name: (identifier) @call))
(new_expression type: (type_identifier) @call)
